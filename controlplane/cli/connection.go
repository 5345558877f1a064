package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/shared/settings"
)

// connection says which control plane to call, as whom. Flags win over the environment, which wins over
// the settings file.
type connection struct {
	Config       string `yaml:"-"`
	Context      string `yaml:"-"`
	Server       string `yaml:"server,omitempty"`
	APIKeyFile   string `yaml:"api_key_file,omitempty"`
	CAFile       string `yaml:"ca_file,omitempty"`
	Organization string `yaml:"organization,omitempty"`

	Site   string `yaml:"site,omitempty"`   // whose connectors reach this machine, for warren expose
	Domain string `yaml:"domain,omitempty"` // in which warren expose publishes
}

// settingsPath is the settings file; one that nobody named may be missing.
func (c connection) settingsPath() (path string, optional bool) {
	if path = firstOf(c.Config, os.Getenv("WARREN_CONFIG")); path != "" {
		return path, false
	}
	if dir, err := os.UserConfigDir(); err == nil {
		path = filepath.Join(dir, "warren", "config.yaml")
	}
	return path, true
}

func readSettings(path string, optional bool) (*settingsFile, error) {
	f := &settingsFile{}
	if path == "" {
		return f, nil
	}
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
	case optional && errors.Is(err, fs.ErrNotExist):
		return f, nil
	default:
		return nil, fmt.Errorf("settings: %w", err)
	}
	if err := settings.OneDocument(b); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := yaml.UnmarshalWithOptions(b, f, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %s", path, yaml.FormatError(err, false, true))
	}
	return f, nil
}

// resolve fills in what the flags left open.
func (c connection) resolve() (connection, error) {
	env := connection{
		Server: os.Getenv("WARREN_SERVER"), APIKeyFile: os.Getenv("WARREN_API_KEY_FILE"),
		CAFile: os.Getenv("WARREN_CA_FILE"), Organization: os.Getenv("WARREN_ORG"),
	}
	path, optional := c.settingsPath()
	all, err := readSettings(path, optional)
	if err != nil {
		return c, err
	}
	file, err := all.chosen(firstOf(c.Context, os.Getenv("WARREN_CONTEXT")))
	if err != nil {
		return c, err
	}
	// Paths in the file are relative to it.
	for _, p := range []*string{&file.APIKeyFile, &file.CAFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	return connection{
		Config: path, Server: firstOf(c.Server, env.Server, file.Server), APIKeyFile: firstOf(c.APIKeyFile, env.APIKeyFile, file.APIKeyFile),
		CAFile: firstOf(c.CAFile, env.CAFile, file.CAFile), Organization: firstOf(c.Organization, env.Organization, file.Organization, "default"),
		Site: file.Site, Domain: file.Domain,
	}, nil
}

func firstOf(s ...string) string {
	for _, v := range s {
		if v != "" {
			return v
		}
	}
	return ""
}

// session is a client and the organization it works in.
type session struct {
	api  typed.Client
	wire *apiclient.Client // below it, for answers that go on
	org  string
}

// tagged is the session that writes what has a tag, and nothing else.
func (s *session) tagged(tag string) *session { return &session{s.api.If(tag), s.wire, s.org} }

// of are the objects of a kind.
func (s *session) of(k *kind) typed.Objects { return s.in(s.org, k) }

// in are the objects of a kind in an organization, if the kind has one.
func (s *session) in(org string, k *kind) typed.Objects {
	if !k.org {
		org = ""
	}
	return s.api.Objects(k.plural, org)
}

func (a *app) connect() (*session, error) {
	c, err := a.flags.resolve()
	if err != nil {
		return nil, err
	}
	if c.Server == "" {
		return nil, usagef("no control plane: give --server, set WARREN_SERVER, or write server: into %s", c.Config)
	}
	key := strings.TrimSpace(os.Getenv("WARREN_API_KEY"))
	if c.APIKeyFile != "" {
		b, err := os.ReadFile(c.APIKeyFile)
		if err != nil {
			return nil, fmt.Errorf("API key: %w", err)
		}
		key = strings.TrimSpace(string(b))
	}
	if key == "" { // nobody said as whom: as who has signed in
		all, err := c.credentials()
		if err != nil {
			return nil, err
		}
		if key = all[c.Server].Token; key == "" {
			return nil, usagef("not signed in at %s, and no API key: warren login, or give --api-key-file, or set WARREN_API_KEY_FILE or WARREN_API_KEY", c.Server)
		}
	}
	client, err := apiclient.New(apiclient.Options{Server: c.Server, Key: key, CAFile: c.CAFile})
	if err != nil {
		return nil, usageError{err}
	}
	return &session{typed.New(client), client, c.Organization}, nil
}
