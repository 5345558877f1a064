package cli

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/warrenedge/warren/shared/endpoint"
)

// edge is a node, as far as others reach it.
type edge struct {
	Name      string   `json:"name"`
	Pool      string   `json:"pool"`
	Addresses []string `json:"addresses"`
	Stream    string   `json:"stream_endpoint"`
	WireGuard string   `json:"wireguard_endpoint"`
	Enrolled  bool     `json:"enrolled"`
	Lifecycle string   `json:"lifecycle"`
}

// addrs are its public addresses with a port: that where connectors dial streams, unless another is asked for.
func (e edge) addrs(port uint16) (out []netip.AddrPort) {
	if port == 0 {
		port = 443
		if at, err := endpoint.Parse(e.Stream); err == nil && at.Addr.IsValid() {
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

// edges are the enrolled nodes of a pool, or of all.
func (s *session) edges(ctx context.Context, pool string) (out []edge, err error) {
	items, err := s.List(ctx, "/api/v1/nodes")
	for _, raw := range items {
		var e edge
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, err
		}
		if e.Enrolled && (pool == "" || e.Pool == pool) {
			out = append(out, e)
		}
	}
	return out, err
}

// roots are the cluster's own authority of hostnames.
func (s *session) roots(ctx context.Context) (*x509.CertPool, error) {
	items, err := s.List(ctx, "/api/v1/authorities")
	pool := x509.NewCertPool()
	for _, raw := range items {
		var a struct {
			Kind string `json:"kind"`
			PEM  string `json:"certificate_pem"`
		}
		if err := json.Unmarshal(raw, &a); err != nil {
			return nil, err
		}
		if a.Kind == "web" {
			pool.AppendCertsFromPEM([]byte(a.PEM))
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
