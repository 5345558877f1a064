package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/netcheck"
)

func (p *pinger) service(ctx context.Context, name string) error {
	svc, _, err := p.s.api.GetService(ctx, p.s.org, name)
	if err != nil {
		return err
	}
	h, _, err := p.s.api.GetServiceHealth(ctx, p.s.org, name)
	if err != nil {
		return err
	}
	p.subject = "service " + svc.Name
	p.told(h, "node", "tunnel", "target")
	nodes, err := p.s.edges(ctx, svc.Pool)
	if denied(err) { // who may not see nodes asks those that the DNS names
		nodes, err = nil, nil
	}
	if err != nil {
		return err
	}
	host := strings.Replace(svc.Hostname, "*.", "warren-ping.", 1)
	if host == "" {
		port, _, _ := strings.Cut(svc.Ports, "-")
		n, _ := strconv.ParseUint(port, 10, 16)
		p.ports(ctx, nodes, svc.Kind, uint16(n))
		return nil
	}
	roots, err := p.s.roots(ctx)
	if err != nil {
		return err
	}
	if svc.Kind == "tls" && (svc.Terminate == nil || !*svc.Terminate) {
		svc.Kind = passedThrough
	}
	found := p.resolver(ctx, host)
	if len(nodes) == 0 {
		nodes = []edge{{Name: host, Addresses: found}}
	}
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() { p.through(ctx, n, host, svc.Kind, roots) })
	}
	all.Wait()
	return nil
}

func denied(err error) bool {
	s := apiclient.StatusOf(err)
	return s == http.StatusForbidden || s == http.StatusUnauthorized
}

// passedThrough is the kind of a service whose TLS ends at its targets.
const passedThrough = "passthrough"

// resolver asks as programs of this machine do.
func (p *pinger) resolver(ctx context.Context, host string) (found []string) {
	ctx, cancel := context.WithTimeout(ctx, netcheck.AskTime)
	defer cancel()
	begun := time.Now()
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	p.tried("dns", "this machine's resolver", time.Since(begun), strings.Join(found, ", "), err)
	return found
}

// through goes to a hostname by one node.
func (p *pinger) through(ctx context.Context, n edge, host, kind string, roots *x509.CertPool) {
	for _, at := range n.resolvers() {
		addrs, took, err := p.probe.Resolve(ctx, at, host)
		p.tried("dns", "node "+n.Name+" at "+at.Addr().String(), took, fmt.Sprint(addrs), err)
	}
	for _, at := range n.addrs(0) {
		where := "node " + n.Name + " at " + at.String()
		took, _, err := p.probe.Connect(ctx, at)
		p.tried("node", where, took, "", err)
		if err != nil {
			continue
		}
		hs, err := p.probe.TLS(ctx, at, host, roots)
		if kind == passedThrough && !hs.NotAfter.IsZero() {
			err = nil // the certificate is the target's own, and nobody else's business
		}
		p.tried("tls", where, hs.Took, certificate(hs), err)
		if kind == "http" && hs.Took > 0 {
			status, took, err := p.probe.Get(ctx, at, host)
			if err == nil && (status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout) {
				err = fmt.Errorf("GET / is answered %d", status)
			}
			p.tried("target", "GET / by "+where, took, fmt.Sprintf("answered %d", status), err)
		}
	}
}

func certificate(h netcheck.Handshake) string {
	if h.NotAfter.IsZero() {
		return ""
	}
	return fmt.Sprintf("of %s, until %s", h.Issuer, h.NotAfter.UTC().Format(time.DateOnly))
}

// ports connects to a port that nodes open for a service.
func (p *pinger) ports(ctx context.Context, nodes []edge, kind string, port uint16) {
	for _, n := range nodes {
		for _, at := range n.addrs(port) {
			what := "node " + n.Name + " at " + at.String()
			if kind == "udp" {
				p.tried("node", what, 0, "takes packets, or says nothing", p.probe.Refused(ctx, at))
				continue
			}
			took, _, err := p.probe.Connect(ctx, at)
			p.tried("node", what, took, "", err)
		}
	}
}

func (p *pinger) site(ctx context.Context, name string) error {
	h, _, err := p.s.api.GetSiteHealth(ctx, p.s.org, name)
	if err != nil {
		return err
	}
	p.subject = "site " + name
	p.told(h, "tunnel", "target")
	st, _, err := p.s.api.Status(ctx)
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, m := range append(st.Nodes, st.Connectors...) {
		names[m.ID] = m.Name
	}
	for _, c := range st.Connectors {
		for _, t := range c.TunnelStates {
			if c.Site != name {
				break
			}
			s := step{Hop: "tunnel", What: "connector " + c.Name + " to node " + firstOf(names[t.Peer], t.Peer), State: "ok", Detail: strings.TrimSpace(t.Carrier + " " + t.Transport)}
			if t.RoundTripMs != nil {
				s.Took = millis(time.Duration(*t.RoundTripMs * float64(time.Millisecond)))
			}
			if !t.Up {
				s.State = "degraded" // what the site says of all its tunnels decides
			}
			p.add(s)
		}
	}
	return nil
}

func (p *pinger) node(ctx context.Context, name string) error {
	is, _, err := p.s.api.GetNode(ctx, name)
	if err != nil {
		return err
	}
	n := edge(is)
	p.subject = "node " + n.Name
	st, _, err := p.s.api.Status(ctx)
	if err != nil {
		return err
	}
	for _, m := range st.Nodes {
		if m.Name == n.Name {
			p.add(step{Hop: "node", What: "as the control plane hears it", State: m.State, Detail: fmt.Sprintf("revision %d, %d of %d tunnels up", m.AppliedRevision, m.TunnelsUp, m.Tunnels)})
		}
	}
	for _, at := range n.addrs(0) {
		took, _, err := p.probe.Connect(ctx, at)
		p.tried("node", "TLS port at "+at.String(), took, "", err)
	}
	zone := p.zone(ctx, n.Pool)
	for _, at := range n.resolvers() {
		if zone == "" {
			break
		}
		took, err := p.probe.Answers(ctx, at, zone)
		p.tried("dns", "at "+at.Addr().String(), took, zone, err)
	}
	return nil
}

// zone is a domain that nodes of a pool answer for, "" if the caller sees none.
func (p *pinger) zone(ctx context.Context, pool string) string {
	items, err := p.s.domains(ctx)
	if err != nil {
		return ""
	}
	for _, d := range items {
		if d.Pool == pool {
			return d.Name
		}
	}
	return ""
}
