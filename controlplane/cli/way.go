package cli

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/shared/endpoint"
)

// edge is a node, as far as others reach it.
type edge typed.Node

// addrs are its public addresses with a port: that where connectors dial streams, unless another is asked for.
func (e edge) addrs(port uint16) (out []netip.AddrPort) {
	if port == 0 {
		port = 443
		if at, err := endpoint.Parse(e.StreamEndpoint); err == nil && at.Addr.IsValid() {
			port = at.Addr.Port()
		}
	}
	for _, text := range e.Addresses {
		if a, err := netip.ParseAddr(text); err == nil {
			out = append(out, netip.AddrPortFrom(a, port))
		}
	}
	return out
}

// resolvers are where resolvers ask the node: not on loopback, where its DNS may listen at any port.
func (e edge) resolvers() (out []netip.AddrPort) {
	for _, at := range e.addrs(53) {
		if !at.Addr().IsLoopback() {
			out = append(out, at)
		}
	}
	return out
}

// edges are the enrolled nodes of a pool, or of all.
func (s *session) edges(ctx context.Context, pool string) (out []edge, err error) {
	all, err := typed.All(func(token string) ([]typed.Node, string, error) {
		page, _, err := s.api.ListNodes(ctx, typed.ListNodesParams{PageSize: pageSize, PageToken: token})
		return page.Items, page.NextPageToken, err
	})
	for _, n := range all {
		if n.Enrolled && (pool == "" || n.Pool == pool) {
			out = append(out, edge(n))
		}
	}
	return out, err
}

// pageSize is the most that a list gives at once.
const pageSize = 500

// roots are the cluster's own authority of hostnames.
func (s *session) roots(ctx context.Context) (*x509.CertPool, error) {
	page, _, err := s.api.ListAuthorities(ctx, typed.ListAuthoritiesParams{})
	pool := x509.NewCertPool()
	for _, a := range page.Items {
		if a.Kind == "web" {
			pool.AppendCertsFromPEM([]byte(a.CertificatePEM))
		}
	}
	return pool, err
}

// get reads one thing of the organization, or, below /, of the cluster.
func (s *session) get(ctx context.Context, out any, parts ...string) error {
	path := "/api/v1/orgs/" + url.PathEscape(s.org)
	if parts[0] == "/" {
		path, parts = "/api/v1", parts[1:]
	}
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	_, err := s.Do(ctx, http.MethodGet, path, nil, out)
	return err
}

// millis shows a short time.
func millis(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return d.Round(100 * time.Microsecond).String()
}
