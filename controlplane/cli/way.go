package cli

import (
	"context"
	"crypto/x509"
	"net/netip"
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

// domains are those of the organization.
func (s *session) domains(ctx context.Context) ([]typed.Domain, error) {
	return typed.All(func(token string) ([]typed.Domain, string, error) {
		page, _, err := s.api.ListDomains(ctx, s.org, typed.ListDomainsParams{PageSize: pageSize, PageToken: token})
		return page.Items, page.NextPageToken, err
	})
}

// services are those of the organization.
func (s *session) services(ctx context.Context) ([]typed.Service, error) {
	return typed.All(func(token string) ([]typed.Service, string, error) {
		page, _, err := s.api.ListServices(ctx, s.org, typed.ListServicesParams{PageSize: pageSize, PageToken: token})
		return page.Items, page.NextPageToken, err
	})
}

// sites are those of the organization.
func (s *session) sites(ctx context.Context) ([]typed.Site, error) {
	return typed.All(func(token string) ([]typed.Site, string, error) {
		page, _, err := s.api.ListSites(ctx, s.org, typed.ListSitesParams{PageSize: pageSize, PageToken: token})
		return page.Items, page.NextPageToken, err
	})
}

// managed are the certificates that are kept for the organization.
func (s *session) managed(ctx context.Context) ([]typed.Managed, error) {
	return typed.All(func(token string) ([]typed.Managed, string, error) {
		page, _, err := s.api.ListManagedCertificates(ctx, s.org, typed.ListManagedCertificatesParams{PageSize: pageSize, PageToken: token})
		return page.Items, page.NextPageToken, err
	})
}

// millis shows a short time.
func millis(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return d.Round(100 * time.Microsecond).String()
}
