package hops

import (
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

const rows = `
	organization acme
	pool edge
	pool bare
	node n1 pool=edge addresses=192.0.2.1 enrolled
	node n2 pool=edge addresses=192.0.2.2 enrolled
	domain example.org organization=acme pool=edge
	site home organization=acme pool=edge tunnels=2
	connector c1 organization=acme site=home enrolled
	service wiki organization=acme pool=edge kind=http hostname=wiki.example.org
	service db organization=acme pool=edge kind=tcp ports=5432
	service empty organization=acme pool=edge kind=tcp ports=5433
	service nowhere organization=acme pool=bare kind=tcp ports=5434
	target app organization=acme service=wiki site=home address=10.0.0.1 port=80 path=/ weight=1
	target pg organization=acme service=db site=home address=10.0.0.2 port=5432 path=/ weight=1
	certificate wiki organization=acme names=wiki.example.org expires=2026-04-01 key=ecdsa issuer=le
`

// scene is a cluster in which all is well, until a test breaks something.
type scene struct {
	t        *testing.T
	rows     string
	now      time.Time
	entries  map[presence.Key]presence.Entry
	away     map[presence.Key]bool
	verdicts map[string]presence.Verdict // by name of the target
	sights   map[model.NodeID]Sight
	found    *model.DomainFinding
	behind   map[model.NodeID]bool
	older    map[model.NodeID]*Serials
}

func nodeID(name string) model.NodeID { return model.NodeID{UUID: modeltest.UUID("node", name)} }

func nodeKey(name string) presence.Key {
	return presence.Key{Kind: identity.Node, ID: nodeID(name).String()}
}

func connectorKey(name string) presence.Key {
	return presence.Key{Kind: identity.Connector, ID: model.ConnectorID{UUID: modeltest.UUID("connector", name)}.String()}
}

func targetID(name string) string {
	return model.TargetID{UUID: modeltest.UUID("target", name)}.String()
}

func well(t *testing.T) *scene {
	now := modeltest.Epoch.Add(68 * time.Hour)
	s := &scene{
		t: t, rows: rows, now: now, entries: map[presence.Key]presence.Entry{}, away: map[presence.Key]bool{}, verdicts: map[string]presence.Verdict{},
		sights: map[model.NodeID]Sight{}, behind: map[model.NodeID]bool{}, older: map[model.NodeID]*Serials{},
		found: &model.DomainFinding{Delegated: true, Found: now.Add(-time.Hour)},
	}
	tunnel := func(k presence.Key) presence.Tunnel {
		return presence.Tunnel{Peer: k.ID, Up: true, Carrier: "stream", Transport: "udp"}
	}
	for _, n := range []string{"n1", "n2"} {
		s.entries[nodeKey(n)] = presence.Entry{Key: nodeKey(n), Seen: now, Applied: 1, Tunnels: []presence.Tunnel{tunnel(connectorKey("c1"))}}
		s.sights[nodeID(n)] = Sight{TLS: Answer{At: now}, DNS: Answer{At: now}}
	}
	s.entries[connectorKey("c1")] = presence.Entry{Key: connectorKey("c1"), Seen: now, Applied: 1, Tunnels: []presence.Tunnel{tunnel(nodeKey("n1")), tunnel(nodeKey("n2"))}}
	s.verdicts["app"] = presence.Verdict{State: presence.TargetHealthy}
	return s
}

func (s *scene) facts() *Facts {
	b, err := modeltest.Parse(0, s.rows)
	if err != nil {
		s.t.Fatal(err)
	}
	return &Facts{
		Model: model.Empty().Apply(b), Now: s.now,
		Entry: func(k presence.Key) (presence.Entry, bool) { e, ok := s.entries[k]; return e, ok },
		Online: func(k presence.Key) presence.Health {
			switch _, ok := s.entries[k]; {
			case ok:
				return presence.Up
			case s.away[k]:
				return presence.Down
			}
			return presence.Unknown
		},
		Verdict: func(t *model.Target) presence.Verdict { return s.verdicts[t.Name] },
		Behind:  func(n model.NodeID) bool { return s.behind[n] },
		Older:   func(n model.NodeID) *Serials { return s.older[n] },
		Outside: func(n model.NodeID) Sight { return s.sights[n] },
		Finding: func(model.DomainID) *model.DomainFinding { return s.found },
	}
}

func (s *scene) service(name string) Report {
	f := s.facts()
	for v := range f.Model.Services() {
		if v.Name == name {
			return f.Service(v)
		}
	}
	s.t.Fatalf("no service %s", name)
	return Report{}
}

// killed is what becomes of a node or connector without a good-bye: it is heard no more, and tunnels to it are down.
func (s *scene) killed(k presence.Key) {
	delete(s.entries, k)
	s.away[k] = true
	s.tunnels(func(_ presence.Key, t *presence.Tunnel) { t.Up = t.Up && t.Peer != k.ID })
	for n := range s.sights {
		if n.String() == k.ID {
			s.sights[n] = Sight{TLS: Answer{At: s.now, Silent: true, Err: "refused"}, DNS: Answer{At: s.now, Silent: true, Err: "refused"}}
		}
	}
}

// quiet is what becomes of those whose streams are open, and who say nothing.
func (s *scene) quiet(keys ...presence.Key) {
	for _, k := range keys {
		e := s.entries[k]
		e.Quiet = true
		s.entries[k] = e
	}
}

func (s *scene) tunnels(change func(of presence.Key, t *presence.Tunnel)) {
	for k, e := range s.entries {
		e.Tunnels = slices.Clone(e.Tunnels)
		for i := range e.Tunnels {
			change(k, &e.Tunnels[i])
		}
		s.entries[k] = e
	}
}

func (s *scene) fails(node, target string, noWay bool) {
	e := s.entries[nodeKey(node)]
	e.Attempts = append(e.Attempts, presence.Attempt{Target: targetID(target), Failures: 3, At: s.now.Add(-time.Second), Reason: "refused", NoWay: noWay})
	s.entries[nodeKey(node)] = e
}

func (s *scene) silent(node string, tls, dns bool) {
	s.sights[nodeID(node)] = Sight{TLS: Answer{At: s.now, Silent: tls, Err: "timeout"}, DNS: Answer{At: s.now, Silent: dns, Err: "timeout"}}
}

// The fault matrix: each thing that can break, and the hop that has to be named for it.
func TestTheBrokenHopIsNamed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		service string
		fault   func(*scene)
		state   State
		hop     Name
		code    Code
	}{
		{"all is well", "wiki", func(*scene) {}, Healthy, "", ""},
		{"all is well, without a check", "db", func(*scene) {}, Healthy, "", ""},

		{"target killed, with a check", "wiki", func(s *scene) {
			s.verdicts["app"] = presence.Verdict{State: presence.TargetUnhealthy, Reason: "refused"}
		}, Down, Target, Unhealthy},
		{"target killed, without a check", "db", func(s *scene) { s.fails("n1", "pg", false) }, Down, Target, Failing},
		{"target fails requests, but not checks", "wiki", func(s *scene) { s.fails("n1", "app", false) }, Degraded, Target, Failing},
		{"a failure of long ago", "db", func(s *scene) {
			s.fails("n1", "pg", false)
			s.now = s.now.Add(staleAttempt)
			s.entries[nodeKey("n2")] = presence.Entry{Seen: s.now, Applied: 1}
			s.sights = nil
			s.tunnels(func(presence.Key, *presence.Tunnel) {})
			for k, e := range s.entries {
				e.Seen = s.now
				s.entries[k] = e
			}
		}, Healthy, "", ""},
		{"one of two targets killed", "db", func(s *scene) {
			s.rows += "target pg2 organization=acme service=db site=home address=10.0.0.3 port=5432 path=/ weight=1\n"
			s.fails("n1", "pg", false)
			s.verdicts["pg2"] = presence.Verdict{State: presence.TargetHealthy}
		}, Degraded, Target, Failing},
		{"no target", "empty", func(*scene) {}, Inactive, Target, NoTarget},

		{"connector killed", "wiki", func(s *scene) {
			s.killed(connectorKey("c1"))
			s.verdicts["app"] = presence.Verdict{State: presence.TargetUnhealthy, Reason: "of before"}
		}, Down, Tunnel, ConnectorAway},
		{"one of two connectors killed", "wiki", func(s *scene) {
			s.rows += "connector c2 organization=acme site=home enrolled\n"
			s.away[connectorKey("c2")] = true
		}, Degraded, Tunnel, ConnectorAway},
		{"connector loses its control link", "wiki", func(s *scene) {
			delete(s.entries, connectorKey("c1"))
			s.away[connectorKey("c1")] = true
		}, Degraded, Tunnel, ControlLink},
		{"all tunnels down", "wiki", func(s *scene) { s.tunnels(func(_ presence.Key, t *presence.Tunnel) { t.Up = false }) }, Down, Tunnel, TunnelDown},
		{"one of two tunnels down", "wiki", func(s *scene) {
			s.tunnels(func(_ presence.Key, t *presence.Tunnel) { t.Up = t.Peer != nodeKey("n2").ID })
		}, Degraded, Tunnel, TunnelsFew},
		{"UDP dropped", "wiki", func(s *scene) { s.tunnels(func(_ presence.Key, t *presence.Tunnel) { t.Transport = "tls" }) }, Degraded, Tunnel, UDPBlocked},
		{"a bad uplink", "wiki", func(s *scene) { s.tunnels(func(_ presence.Key, t *presence.Tunnel) { t.Loss = 0.3 }) }, Degraded, Tunnel, PacketLoss},
		{"no connector", "wiki", func(s *scene) { s.rows += "delete connector c1\n" }, Inactive, Tunnel, NoConnector},
		{"one node finds no way", "db", func(s *scene) { s.fails("n1", "pg", true) }, Degraded, Tunnel, NoWay},
		{"no node finds a way", "db", func(s *scene) { s.fails("n1", "pg", true); s.fails("n2", "pg", true) }, Down, Tunnel, NoWay},

		{"one of two nodes killed", "wiki", func(s *scene) { s.killed(nodeKey("n2")) }, Degraded, Node, NodeAway},
		{"one of two nodes killed, and nobody looks from outside", "wiki", func(s *scene) { s.killed(nodeKey("n2")); s.sights = nil }, Degraded, Node, NodeAway},
		{"all nodes killed, of a hostname", "wiki", func(s *scene) { s.killed(nodeKey("n1")); s.killed(nodeKey("n2")) }, Down, Node, NodeAway},
		{"all nodes killed", "db", func(s *scene) { s.killed(nodeKey("n1")); s.killed(nodeKey("n2")) }, Down, Node, NodeAway},
		{"a node hangs", "wiki", func(s *scene) {
			s.quiet(nodeKey("n2"))
			s.tunnels(func(_ presence.Key, t *presence.Tunnel) { t.Up = t.Peer != nodeKey("n2").ID })
		}, Degraded, Node, NodeAway},
		{"a connector hangs", "wiki", func(s *scene) {
			s.quiet(connectorKey("c1"))
			s.tunnels(func(k presence.Key, t *presence.Tunnel) { t.Up = k == connectorKey("c1") })
		}, Down, Tunnel, TunnelDown},
		{"a connector is quiet, and its tunnels are up", "wiki", func(s *scene) { s.quiet(connectorKey("c1")) }, Healthy, "", ""},
		{"nothing is heard of anybody", "wiki", func(s *scene) { s.quiet(connectorKey("c1"), nodeKey("n1"), nodeKey("n2")) }, Unknown, Tunnel, NotKnown},
		// What another replica was told is in its table, which is read now and then: that it is old says nothing.
		{"all are connected to another replica, whose clock is slow", "wiki", func(s *scene) {
			for k, e := range s.entries {
				e.Seen = s.now.Add(-time.Minute)
				s.entries[k] = e
			}
		}, Healthy, "", ""},
		{"a node loses its control link", "wiki", func(s *scene) { delete(s.entries, nodeKey("n2")); s.away[nodeKey("n2")] = true }, Degraded, Node, ControlLink},
		{"a node loses its control link, and nobody looks from outside", "wiki", func(s *scene) {
			delete(s.entries, nodeKey("n2"))
			s.away[nodeKey("n2")], s.sights = true, nil
		}, Degraded, Node, ControlLink},
		{"a node's TLS port is closed", "wiki", func(s *scene) { s.silent("n1", true, false) }, Degraded, Node, Unreachable},
		{"the TLS ports of all nodes are closed", "wiki", func(s *scene) { s.silent("n1", true, false); s.silent("n2", true, false) }, Down, Node, Unreachable},
		{"an old look from outside", "wiki", func(s *scene) {
			s.sights[nodeID("n1")] = Sight{TLS: Answer{At: s.now.Add(-staleProbe), Silent: true}}
		}, Healthy, "", ""},
		{"a rejected route", "wiki", func(s *scene) {
			for _, n := range []string{"n1", "n2"} {
				e := s.entries[nodeKey(n)]
				id := model.ServiceID{UUID: modeltest.UUID("service", "wiki")}
				e.Rejected = []presence.Rejected{{TypeURL: resource.Route, Name: resource.Name("route", "org", id.String()), Reason: "no such thing"}}
				s.entries[nodeKey(n)] = e
			}
		}, Down, Node, Rejected},
		{"somebody else's rejected route", "db", func(s *scene) {
			e := s.entries[nodeKey("n1")]
			e.Rejected = []presence.Rejected{{TypeURL: resource.Route, Name: resource.Name("route", "org", "service_other"), Reason: "no such thing"}}
			s.entries[nodeKey("n1")] = e
		}, Healthy, "", ""},
		{"a node lags", "wiki", func(s *scene) { s.behind[nodeID("n1")] = true }, Degraded, Node, NotSynced},
		{"a node's DNS serves an older serial", "wiki", func(s *scene) { s.older[nodeID("n1")] = &Serials{6, 7} }, Degraded, Node, DNSOlder},
		{"a node shows an older certificate", "wiki", func(s *scene) {
			s.sights[nodeID("n1")] = Sight{TLS: Answer{At: s.now}, DNS: Answer{At: s.now}, Older: true}
		}, Degraded, Node, TLSOlder},
		{"an older certificate that was seen long ago", "wiki", func(s *scene) {
			s.sights[nodeID("n1")] = Sight{TLS: Answer{At: s.now.Add(-staleProbe)}, DNS: Answer{At: s.now}, Older: true}
		}, Healthy, "", ""},
		{"a node drains", "wiki", func(s *scene) { s.rows += "node n1 pool=edge addresses=192.0.2.1 enrolled draining\n" }, Healthy, "", ""},
		{"no node", "nowhere", func(s *scene) {}, Inactive, Node, NoNode},
		{"a replica that has just started", "db", func(s *scene) { s.entries, s.sights = map[presence.Key]presence.Entry{}, nil }, Unknown, Node, NotKnown},

		{"no certificate", "wiki", func(s *scene) { s.rows += "delete certificate wiki\n" }, Down, TLS, NoCertificate},
		{"an expired certificate", "wiki", func(s *scene) {
			s.rows += "certificate wiki organization=acme names=wiki.example.org expires=2026-01-01 key=ecdsa issuer=le\n"
		}, Down, TLS, Expired},
		{"a certificate that was not renewed", "wiki", func(s *scene) {
			s.rows += "certificate wiki organization=acme names=wiki.example.org expires=2026-01-04 key=ecdsa issuer=le\n"
		}, Degraded, TLS, Expiring},

		{"not delegated", "wiki", func(s *scene) {
			s.found = &model.DomainFinding{Asked: []string{"wiki.example.org"}, Found: s.now}
		}, Down, DNS, NotDelegated},
		{"not delegated, but the hostname leads here", "wiki", func(s *scene) {
			s.found = &model.DomainFinding{Asked: []string{"wiki.example.org"}, Provable: []string{"wiki.example.org"}, Found: s.now}
		}, Healthy, "", ""},
		{"nobody has asked the DNS", "wiki", func(s *scene) { s.found = nil }, Healthy, "", ""},
		{"a node's DNS is silent", "wiki", func(s *scene) { s.silent("n1", false, true) }, Degraded, DNS, DNSSilent},
		{"the DNS of all nodes is silent", "wiki", func(s *scene) { s.silent("n1", false, true); s.silent("n2", false, true) }, Down, DNS, DNSSilent},
		{"DNS does not matter at ports", "db", func(s *scene) { s.silent("n1", false, true); s.silent("n2", false, true) }, Healthy, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := well(t)
			tt.fault(s)
			r := s.service(tt.service)
			if r.State != tt.state || r.Broken != tt.hop || r.Code != tt.code {
				t.Errorf("%s at %q (%s: %s), want %s at %q (%s)", r.State, r.Broken, r.Code, r.Reason, tt.state, tt.hop, tt.code)
			}
			if r.State != Healthy && (r.Reason == "" || r.Advice == "") {
				t.Errorf("reason %q, advice %q", r.Reason, r.Advice)
			}
		})
	}
}

func TestHopsOfASite(t *testing.T) {
	s := well(t)
	site := func() Report {
		f := s.facts()
		for v := range f.Model.Sites() {
			return f.Site(v)
		}
		return Report{}
	}
	if r := site(); r.State != Healthy || len(r.Hops) != 2 || len(r.Hops[1].Parts) != 2 {
		t.Errorf("%+v", r)
	}
	s.killed(connectorKey("c1"))
	if r := site(); r.State != Down || r.Broken != Tunnel || r.Hops[1].State != Unknown {
		t.Errorf("%+v", r)
	}
}

// Every state that is not healthy comes with something to do.
func TestAdviceForEveryCode(t *testing.T) {
	for _, c := range []Code{
		NothingFound, NotDelegated, DNSSilent, NoNode, NodeJoining, NodeDraining, NodeAway, ControlLink, Unreachable, Rejected, NotSynced, DNSOlder, TLSOlder, NotKnown,
		NoCertificate, Expired, Expiring, NotYetValid, NoConnector, ConnectorAway, TunnelDown, TunnelsFew, UDPBlocked, PacketLoss, NoWay, NoTarget,
		Unhealthy, Failing, Unwatched,
	} {
		if advice[c] == "" {
			t.Errorf("%s has no advice", c)
		}
	}
	if len(advice) != 29 {
		t.Errorf("%d codes have advice: is one missing in this list?", len(advice))
	}
}
