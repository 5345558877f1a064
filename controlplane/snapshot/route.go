package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
)

// errNoCertificate: a route that ends TLS without a certificate could only fail every handshake.
var errNoCertificate = errors.New("no certificate carries the hostname")

// route compiles a service that is reached by name. One without targets has no rules, and is answered with 503.
func route(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	s := m.Service(model.ServiceID{UUID: id})
	if s == nil || s.Raw() {
		return nil
	}
	d := &draft{name: guardedName("route", s), scopes: []string{poolScope(s.Pool)}}
	msg := &nodev1.Route{
		ServiceId:      s.ID.String(),
		OrganizationId: s.Org.String(),
		ServiceName:    s.Name,
		Hostname:       s.Hostname,
		Rules:          rules(m, s),
		Delivery:       delivery(s.Delivery),
		Maintenance:    maintenance(s.Maintenance),
	}
	switch {
	case s.Kind == model.HTTP:
		msg.Mode = nodev1.RouteMode_ROUTE_MODE_TERMINATE
	case s.Kind == model.TLS && s.Terminate:
		msg.Mode = nodev1.RouteMode_ROUTE_MODE_TERMINATE_TCP
	case s.Kind == model.TLS:
		msg.Mode = nodev1.RouteMode_ROUTE_MODE_PASSTHROUGH
	default:
		d.err = fmt.Errorf("kind %q is not known", s.Kind)
	}
	if s.Kind == model.TLS {
		msg.ProxyProtocol = uint32(s.ProxyProtocol)
		for _, r := range msg.Rules {
			if r.PathPrefix != "/" {
				d.err = fmt.Errorf("a target has path prefix %q: no node sees paths of a %s service", r.PathPrefix, model.TLS)
			}
		}
	}
	if s.EndsTLS() {
		all := m.CertificatesFor(s)
		if len(all) == 0 {
			d.err = errNoCertificate
		}
		for i, c := range all {
			if i == 0 {
				msg.Certificate = certificateName(c)
			} else {
				msg.FurtherCertificates = append(msg.FurtherCertificates, certificateName(c))
			}
		}
	}
	if !s.Policy.IsZero() {
		msg.Policy, msg.GuardedMode, msg.Mode = policyName(s.Org, s.Policy), msg.Mode, nodev1.RouteMode_ROUTE_MODE_GUARDED
	}
	d.msg = msg
	return d
}

// rules groups the targets by path prefix, in the order in which a node tries them.
func rules(m *model.Model, s *model.Service) []*nodev1.RouteRule {
	var rules []*nodev1.RouteRule
	byPrefix := map[string]*nodev1.RouteRule{}
	for t := range m.TargetsOf(s.ID) {
		r := byPrefix[t.PathPrefix]
		if r == nil {
			r = &nodev1.RouteRule{PathPrefix: t.PathPrefix}
			byPrefix[t.PathPrefix] = r
			rules = append(rules, r)
		}
		to := routeTarget(t)
		upstream(to, s, t.Upstream)
		r.Targets = append(r.Targets, to)
	}
	slices.SortFunc(rules, func(a, b *nodev1.RouteRule) int {
		return cmp.Or(cmp.Compare(len(b.PathPrefix), len(a.PathPrefix)), cmp.Compare(a.PathPrefix, b.PathPrefix))
	})
	return rules
}
