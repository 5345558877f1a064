package expose

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// Guard says who may reach what is published; the zero Guard lets everybody.
type Guard struct {
	Password string
	PIN      string
	Groups   []string // of the organization, whose members sign in; AllMembers: all of it
	Made     struct{ Password, PIN string }
}

// AllMembers stands for everybody in the organization.
const AllMembers = "*"

// MakeUp makes a password or PIN up, to be shown with what is published.
func (g *Guard) MakeUp(password, pin bool) {
	if password {
		g.Password = word(12)
		g.Made.Password = g.Password
	}
	if pin {
		g.PIN = drawn("0123456789", 6)
		g.Made.PIN = g.PIN
	}
}

// auth is the part of a policy; nil: everybody may.
func (g Guard) auth() map[string]any {
	out := map[string]any{}
	if g.Password != "" {
		out["password"] = map[string]any{"secret": g.Password}
	}
	if g.PIN != "" {
		out["pin"] = map[string]any{"code": g.PIN}
	}
	switch {
	case slices.Contains(g.Groups, AllMembers):
		out["sign_in"] = map[string]any{"members": true}
	case len(g.Groups) > 0:
		out["sign_in"] = map[string]any{"groups": g.Groups}
	}
	return out
}

// word is some letters and digits at random, none of which looks like another.
func word(n int) string { return drawn("abcdefghjkmnpqrstuvwxyz23456789", n) }

func drawn(from string, n int) string {
	b := make([]byte, n)
	for i := range b {
		at, err := rand.Int(rand.Reader, big.NewInt(int64(len(from))))
		if err != nil {
			panic(err) // never since Go 1.24
		}
		b[i] = from[at.Int64()]
	}
	return string(b)
}

// choose finds out where it is published.
func (r *run) choose(ctx context.Context) error {
	if r.What.Scheme == "tcp" {
		r.pool = r.Pool
		return nil
	}
	items, err := typed.All(func(token string) ([]typed.Domain, string, error) {
		page, _, err := r.API.ListDomains(ctx, r.Org, typed.ListDomainsParams{PageSize: 500, PageToken: token})
		return page.Items, page.NextPageToken, err
	})
	if err != nil {
		return err
	}
	var names []string
	for _, d := range items {
		names = append(names, d.Name)
		if r.Domain == d.Name || r.Domain == "" && len(items) == 1 {
			r.pool, r.host = d.Pool, r.Name+"."+d.Name
		}
	}
	switch {
	case r.host != "":
		return nil
	case len(names) == 0:
		return fmt.Errorf("organization %s has no domain to publish in: warren create domain NAME --pool POOL", r.Org)
	case r.Domain == "":
		return fmt.Errorf("organization %s has several domains, give --domain: %s", r.Org, strings.Join(names, ", "))
	}
	return fmt.Errorf("domain %s is none of organization %s: %s", r.Domain, r.Org, strings.Join(names, ", "))
}

// site is through which it is reached.
func (r *run) site() string {
	if r.Site != "" {
		return r.Site
	}
	return r.Name
}

// Ports at nodes that are made up: above those of well-known services, below those that systems dial from.
const firstPort, lastPort = 20000, 32767

// tries is how many ports are tried.
const tries = 8

// apply makes the objects and returns the revision that has them.
func (r *run) apply(ctx context.Context) (uint64, error) {
	made := r.Port == 0 && r.What.Scheme == "tcp"
	for try := 1; ; try++ {
		if made {
			at, err := rand.Int(rand.Reader, big.NewInt(lastPort-firstPort+1))
			if err != nil {
				return 0, err
			}
			r.Port = firstPort + int(at.Int64())
		}
		_, w, err := r.API.ApplyManifests(ctx, r.Org, typed.ApplyManifestsParams{}, typed.ApplyInputBody{
			Set: r.Name, Lifetime: r.Lifetime.String(), Documents: r.documents(ctx),
		})
		if made && try < tries && aboutPorts(err) {
			continue
		}
		return w.Revision, err
	}
}

// aboutPorts reports whether a port is another service's.
func aboutPorts(err error) bool {
	p, ok := errors.AsType[*apiclient.Problem](err)
	return ok && p.Status == http.StatusConflict && slices.ContainsFunc(p.Errors, func(e struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	}) bool {
		return strings.HasSuffix(e.Location, "spec.ports")
	})
}

func (r *run) documents(ctx context.Context) (docs []typed.Manifest) {
	add := func(kind string, spec map[string]any) {
		docs = append(docs, typed.Manifest{APIVersion: "warren/v1", Kind: kind, Metadata: typed.ManifestMeta{Name: r.Name}, Spec: spec})
	}
	if r.Site == "" {
		add("Site", map[string]any{"pool": r.pool})
		add("Connector", map[string]any{"site": r.Name})
	}
	service := map[string]any{"kind": "http", "hostname": r.host, "pool": r.pool}
	host := r.What.Host
	if r.What.here() {
		host, _ = r.What.local(ctx)
	}
	target := map[string]any{"service": r.Name, "site": r.site(), "address": host, "port": r.What.Port}
	if r.What.Scheme == "tcp" {
		service = map[string]any{"kind": "tcp", "ports": strconv.Itoa(r.Port), "pool": r.pool}
	} else {
		target["scheme"] = r.What.Scheme
	}
	if auth := r.Guard.auth(); len(auth) > 0 {
		add("Policy", map[string]any{"otherwise": "authenticate", "auth": auth})
		service["policy"] = r.Name
	}
	add("Service", service)
	add("Target", target)
	return docs
}

// url is where it is published, without a port; answers fills that in.
func (r *run) url() string {
	if r.What.Scheme == "tcp" {
		return "tcp://" + net.JoinHostPort(r.host, strconv.Itoa(r.Port))
	}
	return "https://" + r.host + "/"
}
