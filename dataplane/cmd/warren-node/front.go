package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/access"
	"github.com/warrenedge/warren/dataplane/accesslog"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/challenge"
	"github.com/warrenedge/warren/dataplane/config"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/gate"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/l4"
	"github.com/warrenedge/warren/dataplane/places"
	"github.com/warrenedge/warren/dataplane/reach"
	"github.com/warrenedge/warren/dataplane/redeem"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/dataplane/streams"
	"github.com/warrenedge/warren/dataplane/tunnel"
)

// front is what clients of a node meet, in the order in which a request passes: DNS, SNI or ports, HTTP.
type front struct {
	limit    *inbound.Limiter
	tenants  *inbound.Tenants
	targets  *balance.Health
	names    *dns.Server
	forward  *sni.Forwarder
	ports    *l4.Server
	asked    *challenge.Answerer
	proxy    *httpproxy.Proxy
	places   *places.Places
	access   *access.Access // asks places
	sessions *session.Sessions
	openNow  *session.Open
	gate     *gate.Gate
	lines    *accesslog.Log // of requests; nil: none
	requests *requestlog.Log

	// Connections of the TLS port, by who takes them.
	http, raw, wireguard, own, between, proofs *sni.Handoff
}

func newFront(cfg *config.Node, cluster string, w *ways, plane *redeem.Plane, counter access.Uses, log *slog.Logger, reg *prometheus.Registry) (*front, error) {
	f := &front{
		limit: inbound.NewLimiter(inbound.PerIP, inbound.MaxConns()), targets: balance.NewHealth(log, reg), names: dns.New(log, reg),
		http: sni.NewHandoff(), raw: sni.NewHandoff(), wireguard: sni.NewHandoff(), own: sni.NewHandoff(), between: sni.NewHandoff(), proofs: sni.NewHandoff(),
	}
	f.tenants = inbound.NewTenants(f.limit)
	var err error
	if f.asked, err = challenge.New(challenge.Options{HTTPS: cfg.HTTPSPort(), Limit: f.limit, Log: log, Registerer: reg}); err != nil {
		return nil, err
	}
	f.requests = requestlog.New(reg)
	way := reach.Dialer{Dial: w.fabric.DialTarget, Health: f.targets, Log: log}
	f.forward = sni.New(sni.Options{
		Reach: way, Limit: f.limit, HTTP: f.http, TCP: f.raw, Requests: f.requests, Log: log, Registerer: reg,
		Own: []sni.Own{
			{Protocol: tunnel.Protocol, To: f.wireguard}, {Protocol: streams.ProtocolControl, To: f.own}, {Protocol: streams.ProtocolStream, To: f.own},
			{Protocol: streams.ProtocolRelayControl, To: f.between}, {Protocol: streams.ProtocolRelay, To: f.between},
			{Protocol: challenge.Protocol, To: f.proofs, For: f.asked.Asked},
		},
	})
	f.ports = l4.New(l4.Options{Host: cfg.Listen.ForwardHost, Reach: way, Limit: f.limit, Requests: f.requests, Log: log, Registerer: reg})
	if f.lines, err = accesslog.Open(cfg.AccessLog, log); err != nil {
		return nil, err
	}
	f.places = places.New(cfg.GeoIP, log, reg)
	f.access = access.New(access.Options{Places: f.places, Uses: counter, Log: log, Registerer: reg})
	f.sessions, f.openNow = session.New(cluster, plane, log, reg), session.NewOpen()
	f.gate = gate.New(gate.Options{Sessions: f.sessions, Open: f.openNow, Check: f.access, Plane: plane, Log: log, Registerer: reg})
	f.access.SetBrowser(f.gate)
	f.proxy = httpproxy.New(w.fabric.Dial, f.targets, log, reg, f.lines.Logger())
	f.proxy.SetRequestLog(f.requests)
	f.proxy.SetGuard(f.access)
	return f, nil
}
