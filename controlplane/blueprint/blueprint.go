// Package blueprint reads what Pangolin calls a blueprint, so that who comes from there need not write everything anew.
//
// Read refuses what is no blueprint, with line and column; Convert makes manifests of it, and says of everything that has no
// counterpart what becomes of it. What lets somebody in, or keeps somebody out, is carried over whole, or the resource is left
// out: no service comes out more open than it was.
package blueprint

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
)

// maxFile bounds what is read.
const maxFile = 4 << 20

// file is a blueprint, as https://docs.pangolin.net/manage/blueprints describes it. Keys that are not here are reported, not
// refused: Pangolin gains some with each release.
type file struct {
	Public   map[string]*resource `yaml:"public-resources"`
	Proxy    map[string]*resource `yaml:"proxy-resources"` // what public-resources were called before
	Private  map[string]any       `yaml:"private-resources"`
	Client   map[string]any       `yaml:"client-resources"`
	Policies map[string]*shared   `yaml:"public-policies"`
	Sites    map[string]*site     `yaml:"sites"`

	More map[string]any `yaml:",inline"`
}

type site struct {
	Name   string `yaml:"name"`
	Docker *bool  `yaml:"docker-socket-enabled"`

	More map[string]any `yaml:",inline"`
}

type resource struct {
	Name            string   `yaml:"name"`
	Mode            string   `yaml:"mode"`
	Protocol        string   `yaml:"protocol"` // what mode was called before
	Policy          string   `yaml:"policy"`
	SSL             *bool    `yaml:"ssl"`
	Scheme          string   `yaml:"scheme"`
	Domain          string   `yaml:"full-domain"`
	Port            int      `yaml:"proxy-port"`
	Enabled         *bool    `yaml:"enabled"`
	Targets         []target `yaml:"targets"`
	Auth            *auth    `yaml:"auth"`
	Host            string   `yaml:"host-header"`
	ServerName      string   `yaml:"tls-server-name"`
	Headers         []header `yaml:"headers"` // what requestHeaders were called before
	RequestHeaders  []header `yaml:"requestHeaders"`
	ResponseHeaders []header `yaml:"responseHeaders"`
	Rules           []rule   `yaml:"rules"`
	Maintenance     *outage  `yaml:"maintenance"`
	Proxied         bool     `yaml:"proxy-protocol"`
	ProxyVersion    int      `yaml:"proxy-protocol-version"`

	More map[string]any `yaml:",inline"`
}

type header struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

type outage struct {
	Enabled   bool   `yaml:"enabled"`
	Type      string `yaml:"type"`
	Title     string `yaml:"title"`
	Message   string `yaml:"message"`
	Estimated string `yaml:"estimated-time"`

	More map[string]any `yaml:",inline"`
}

type target struct {
	Site         string `yaml:"site"`
	Method       string `yaml:"method"`
	Hostname     string `yaml:"hostname"`
	Port         int    `yaml:"port"`
	Enabled      *bool  `yaml:"enabled"`
	Path         string `yaml:"path"`
	PathMatch    string `yaml:"path-match"`
	Rewrite      string `yaml:"rewrite-path"`
	RewriteOld   string `yaml:"rewritePath"`
	RewriteMatch string `yaml:"rewrite-match"`
	Priority     int    `yaml:"priority"`
	Check        *check `yaml:"healthcheck"`

	More map[string]any `yaml:",inline"`
}

type check struct {
	Hostname  string   `yaml:"hostname"`
	Port      int      `yaml:"port"`
	Enabled   *bool    `yaml:"enabled"`
	Path      string   `yaml:"path"`
	Scheme    string   `yaml:"scheme"`
	Mode      string   `yaml:"mode"`
	Interval  int      `yaml:"interval"`
	Timeout   int      `yaml:"timeout"`
	Headers   []header `yaml:"headers"`
	Method    string   `yaml:"method"`
	Status    int      `yaml:"status"`
	Healthy   int      `yaml:"healthy-threshold"`
	Unhealthy int      `yaml:"unhealthy-threshold"`

	More map[string]any `yaml:",inline"`
}

type rule struct {
	Action   string `yaml:"action"`
	Match    string `yaml:"match"`
	Value    string `yaml:"value"`
	Priority *int   `yaml:"priority"`
	Enabled  *bool  `yaml:"enabled"`
}

type auth struct {
	PIN       any      `yaml:"pincode"` // a number, or its text
	Password  string   `yaml:"password"`
	Basic     *basic   `yaml:"basic-auth"`
	SSO       bool     `yaml:"sso-enabled"`
	Roles     []string `yaml:"sso-roles"`
	Users     []string `yaml:"sso-users"`
	Whitelist []string `yaml:"whitelist-users"`

	More map[string]any `yaml:",inline"`
}

type basic struct {
	User     string `yaml:"user"`
	Password string `yaml:"password"`

	More map[string]any `yaml:",inline"`
}

// shared is a policy that resources name.
type shared struct {
	Name       string   `yaml:"name"`
	SSO        *bool    `yaml:"sso"` // true if absent
	Roles      []string `yaml:"sso-roles"`
	Users      []string `yaml:"sso-users"`
	Password   string   `yaml:"password"`
	PIN        any      `yaml:"pincode"`
	Basic      *basic   `yaml:"basic-auth"`
	Mailed     bool     `yaml:"email-whitelist-enabled"`
	Whitelist  []string `yaml:"whitelist-users"`
	ApplyRules bool     `yaml:"apply-rules"`
	Rules      []rule   `yaml:"rules"`

	More map[string]any `yaml:",inline"`
}

// Blueprint is one that was read.
type Blueprint struct{ file }

// Read reads a blueprint in YAML.
func Read(r io.Reader) (*Blueprint, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	var out Blueprint
	err = yaml.NewDecoder(bytes.NewReader(b)).Decode(&out.file)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("nothing in it")
	case err != nil:
		return nil, errors.New(yaml.FormatError(err, false, true))
	}
	if len(out.Public)+len(out.Proxy)+len(out.Private)+len(out.Client)+len(out.Policies)+len(out.Sites) == 0 {
		return nil, errors.New("no blueprint: want public-resources, private-resources, public-policies or sites")
	}
	for key, r := range out.Proxy {
		if out.Public == nil {
			out.Public = map[string]*resource{}
		}
		if _, twice := out.Public[key]; twice {
			return nil, fmt.Errorf("%s is in public-resources and in proxy-resources", key)
		}
		out.Public[key] = r
	}
	return &out, nil
}
