package cli

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/netcheck"
)

// A step is one question on the way, and what came of it.
type step struct {
	Hop    string `json:"hop"`
	What   string `json:"what"`
	State  string `json:"state"` // ok, failed, or what the control plane says of it
	Took   string `json:"took,omitempty"`
	Detail string `json:"detail,omitempty"`
}

func (s step) bad() bool { return s.State == "failed" || s.State == "down" || s.State == "inactive" }

// journey is all steps, in the order in which a request meets them.
type journey struct {
	Subject string `json:"subject"`
	Broken  string `json:"broken,omitempty"`
	Advice  string `json:"advice,omitempty"`
	Steps   []step `json:"steps"`
}

func (a *app) pingCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ping SERVICE|site/NAME|node/NAME", Short: "Go the way to a service, site or node hop by hop, from this machine", Args: cobra.ExactArgs(1),
		Long: "Go the way to a service, site or node hop by hop: the DNS as this machine asks it and at each node, TLS with each node, then what\n" +
			"nodes and connectors report of tunnels and targets, and, of an HTTP service, a GET for / through each node. Prints what each took.\n" +
			"Exits with 1 when a hop is broken, and names it.",
		Example: "  warren ping wiki\n  warren ping site/home\n  warren ping node/fra1",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			kind, name, said := strings.Cut(args[0], "/")
			if !said {
				kind, name = "service", args[0]
			}
			p := pinger{s: s}
			switch kind {
			case "service":
				err = p.service(cmd.Context(), name)
			case "site":
				err = p.site(cmd.Context(), name)
			case "node":
				err = p.node(cmd.Context(), name)
			default:
				return usagef("%q: want a service, site/NAME or node/NAME", args[0])
			}
			if err != nil {
				return err
			}
			return a.arrived(p.journey())
		},
	}
}

// arrived shows a journey, and is an error if it ended on the way.
func (a *app) arrived(j journey) error {
	if a.structured() {
		if err := a.print(j); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for _, s := range j.Steps {
			rows = append(rows, []string{s.Hop, s.What, s.State, s.Took, s.Detail})
		}
		if err := a.table([]string{"hop", "what", "state", "took", "detail"}, rows); err != nil {
			return err
		}
	}
	if j.Broken == "" {
		return nil
	}
	if j.Advice != "" {
		return fmt.Errorf("%s: broken at the hop %q\n  %s", j.Subject, j.Broken, j.Advice)
	}
	return fmt.Errorf("%s: broken at the hop %q", j.Subject, j.Broken)
}

// pinger collects steps.
type pinger struct {
	s       *session
	probe   netcheck.Probe
	subject string
	advice  map[string]string // by hop, of the control plane

	mu    sync.Mutex
	steps map[string][]step // guarded by mu; by hop
}

func (p *pinger) add(s step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steps == nil {
		p.steps = map[string][]step{}
	}
	p.steps[s.Hop] = append(p.steps[s.Hop], s)
}

// tried adds what came of a question.
func (p *pinger) tried(hop, what string, took time.Duration, detail string, err error) {
	s := step{Hop: hop, What: what, State: "ok", Took: millis(took), Detail: detail}
	switch {
	case errors.Is(err, netcheck.ErrNoWay):
		s.State, s.Detail = "unknown", err.Error()
	case err != nil:
		s.State, s.Detail = "failed", err.Error()
	}
	p.add(s)
}

// journey puts the hops into their order. The first in which something failed is the broken one.
func (p *pinger) journey() journey {
	j := journey{Subject: p.subject, Steps: []step{}}
	for _, hop := range hopNames {
		for _, s := range p.steps[hop] {
			if j.Broken == "" && s.bad() {
				j.Broken, j.Advice = hop, p.advice[hop]
			}
			j.Steps = append(j.Steps, s)
		}
	}
	return j
}

// told adds what the control plane says of the hops that can't be seen from here.
func (p *pinger) told(h typed.Report, hops ...string) {
	p.advice = map[string]string{h.Broken: h.Advice}
	for _, hop := range h.Hops {
		for _, want := range hops {
			if hop.Name != want {
				continue
			}
			for _, part := range hop.Parts {
				p.add(step{Hop: hop.Name, What: part.Kind + " " + part.Name, State: part.State, Detail: part.Reason})
			}
		}
	}
}

func (p *pinger) service(ctx context.Context, name string) error {
	var svc struct {
		Name, Kind, Hostname, Pool, Ports string
		Terminate                         bool
	}
	var h typed.Report
	if err := p.s.get(ctx, &svc, "services", name); err != nil {
		return err
	}
	if err := p.s.get(ctx, &h, "services", name, "health"); err != nil {
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
	if svc.Kind == "tls" && !svc.Terminate {
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
	var h typed.Report
	if err := p.s.get(ctx, &h, "sites", name, "health"); err != nil {
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
	items, err := p.s.List(ctx, "/api/v1/orgs/"+p.s.org+"/domains")
	if err != nil {
		return ""
	}
	for _, raw := range items {
		var d struct{ Name, Pool string }
		if json.Unmarshal(raw, &d) == nil && d.Pool == pool {
			return d.Name
		}
	}
	return ""
}
