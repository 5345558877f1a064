package apply

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/sni"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/resource"
)

var monday = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

const (
	policyName = "policy/o/policy_1"
	friend     = "192.0.2.7" // whom the policy admits, by its name (accessOf)
)

func policyMsg() *nodev1.Policy {
	return &nodev1.Policy{
		PolicyId: "policy_1", OrganizationId: "org_1", Name: friend, Otherwise: nodev1.PolicyAction_POLICY_ACTION_DENY,
		Rules: []*nodev1.PolicyRule{{Action: nodev1.PolicyAction_POLICY_ACTION_ALLOW, Match: &nodev1.PolicyConditions{Networks: []string{"192.0.2.0/24"}}}},
	}
}

func guardedRoute(mode nodev1.RouteMode) *nodev1.Route {
	r := routeMsg("service_5", "guarded.example.org", "certificate/o/cert_5")
	r.Mode, r.GuardedMode, r.Policy = nodev1.RouteMode_ROUTE_MODE_GUARDED, mode, policyName
	return r
}

func guardedForward() *nodev1.Forward {
	f := forwardMsg()
	f.Protocol, f.GuardedProtocol, f.Policy = nodev1.TargetProtocol_TARGET_PROTOCOL_GUARDED, f.Protocol, policyName
	return f
}

func routeOf(t *testing.T, m *machine, host string) httpproxy.Route {
	t.Helper()
	i := slices.IndexFunc(m.proxy.Routes, func(r httpproxy.Route) bool { return r.Hostname == host })
	if i < 0 {
		t.Fatalf("no route of %s", host)
	}
	return m.proxy.Routes[i]
}

// T4: whatever is missing or garbled of a policy, nobody gets in who was not let in by it before.
func TestT4Policies(t *testing.T) {
	dir := t.TempDir()
	n, m := newNode(t, dir)
	must(t, n, world(t))
	route, forward := "guarded/o/service_5", "guarded/o/service_3"
	got := said(must(t, n, tx(6, res(t, "certificate/o/cert_5", certMsg(t, "guarded.example.org")),
		res(t, route, guardedRoute(nodev1.RouteMode_ROUTE_MODE_TERMINATE)), res(t, forward, guardedForward()))))
	want := []string{forward + ": policy: " + policyName + " is not here: nobody is let in", route + ": policy: " + policyName + " is not here: nobody is let in"}
	if !slices.Equal(got, want) {
		t.Errorf("said %q", got)
	}
	if r := routeOf(t, m, "guarded.example.org"); r.Policy != policyName || r.Decides != nil {
		t.Errorf("before the policy is here: %+v", r)
	}
	if m.l4.Forwards[0].Admit(netip.MustParseAddr(friend)) {
		t.Error("a port is open before its policy is here")
	}

	open := func(when string, n *Node, m *machine) {
		t.Helper()
		r := routeOf(t, m, "guarded.example.org")
		if r.Policy != policyName || r.Decides == nil || r.Decides.Name() != friend {
			t.Errorf("%s: %+v", when, r)
		}
		if !m.l4.Forwards[0].Admit(netip.MustParseAddr(friend)) || m.l4.Forwards[0].Admit(netip.MustParseAddr("192.0.2.8")) {
			t.Errorf("%s: the port admits others", when)
		}
	}
	if got := said(must(t, n, tx(7, res(t, policyName, policyMsg())))); len(got) > 0 {
		t.Errorf("said %q", got)
	}
	open("with the policy", n, m)

	for name, garbled := range map[string]func(*nodev1.Policy){
		"rules[0].action":      func(p *nodev1.Policy) { p.Rules[0].Action = 99 },
		"rules[0].networks[0]": func(p *nodev1.Policy) { p.Rules[0].Match.Networks[0] = "192.0.2.0" + "/99" },
		"otherwise":            func(p *nodev1.Policy) { p.Otherwise = 0 },
		"organization_id":      func(p *nodev1.Policy) { p.OrganizationId = "" },
		"authentication.share_links[0]": func(p *nodev1.Policy) {
			p.Authentication = &nodev1.PolicyAuthentication{ShareLinks: []*nodev1.PolicyShareLink{{ShareLinkId: "l"}}}
		},
		"auth.client_certificate": func(p *nodev1.Policy) {
			p.Authentication = &nodev1.PolicyAuthentication{ClientCertificate: &nodev1.PolicyClientCertificate{AuthoritiesPem: "x"}}
		},
		"auth.pin": func(p *nodev1.Policy) { p.Authentication = &nodev1.PolicyAuthentication{PinHash: "1234"} },
	} {
		p := policyMsg()
		p.Name = "nobody"
		garbled(p)
		if got := said(must(t, n, tx(8, res(t, policyName, p)))); len(got) != 1 || !strings.HasPrefix(got[0], policyName+": "+name) {
			t.Errorf("%s: said %q", name, got)
		}
		open(name, n, m)
	}

	again, am := newNode(t, dir)
	if _, err := again.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	open("after a restart without the control plane", again, am)

	gone := ads.Transaction{Checkpoint: &nodev1.Checkpoint{Revision: 9}, Removed: map[string][]string{resource.Policy: {policyName}}}
	must(t, again, gone)
	if r := routeOf(t, am, "guarded.example.org"); r.Policy != policyName || r.Decides != nil || am.l4.Forwards[0].Admit(netip.MustParseAddr(friend)) {
		t.Errorf("without the policy: %+v", r)
	}
}

func TestPoliciesOfNames(t *testing.T) {
	n, m := newNode(t, t.TempDir())
	must(t, n, world(t))
	pass := guardedRoute(nodev1.RouteMode_ROUTE_MODE_PASSTHROUGH)
	pass.Hostname, pass.Certificate, pass.ServiceId = "pass.example.org", "", "service_6"
	must(t, n, tx(6, res(t, "certificate/o/cert_5", certMsg(t, "guarded.example.org")), res(t, policyName, policyMsg()),
		res(t, "guarded/o/service_5", guardedRoute(nodev1.RouteMode_ROUTE_MODE_TERMINATE_TCP)), res(t, "guarded/o/service_6", pass)))
	if len(m.l4.Names) != 1 || m.l4.Names[0].Admit == nil || m.l4.Names[0].Admit(netip.MustParseAddr(friend), nil) {
		t.Errorf("%+v", m.l4.Names)
	}
	i := slices.IndexFunc(m.sni.Routes, func(r sni.Route) bool { return r.Hostname == "pass.example.org" })
	if i < 0 || m.sni.Routes[i].Admit == nil || !m.sni.Routes[i].Admit(netip.MustParseAddr(friend)) || m.sni.Routes[i].Admit(netip.MustParseAddr("192.0.2.8")) {
		t.Errorf("%+v", m.sni.Routes)
	}
	// Two of three nodes are in the pool of this one, or however many there are: it is told.
	if m.sharing == 0 {
		t.Error("nobody has said how many nodes share the limits")
	}
}

// What a policy is in a snapshot is the policy: nothing is lost on the way.
func TestDecodePolicy(t *testing.T) {
	all := policyMsg()
	all.Otherwise = nodev1.PolicyAction_POLICY_ACTION_AUTHENTICATE
	all.Rules = append(all.Rules, &nodev1.PolicyRule{
		Action: nodev1.PolicyAction_POLICY_ACTION_DENY,
		Match: &nodev1.PolicyConditions{
			Paths: []string{"/a/**"}, Methods: []string{"GET"}, Countries: []string{"CH"}, AutonomousSystems: []uint32{64500},
			Headers: []*nodev1.PolicyHeader{{Name: "X-A", Values: []string{"b"}}},
			Windows: []*nodev1.PolicyWindow{{Days: []string{"mon"}, From: "08:00", To: "17:00", Zone: "Europe/Zurich"}},
		},
		Unless: &nodev1.PolicyConditions{Networks: []string{"10.0.0.0/8"}},
	})
	all.Authentication = &nodev1.PolicyAuthentication{
		SignIn: &nodev1.PolicySignIn{Groups: []string{"ops"}}, MailAddresses: []string{"*@example.org"},
		PinHash: "$argon2id$x", PasswordHash: "$argon2id$y", Basic: []*nodev1.PolicyBasic{{User: "a", PasswordHash: "$argon2id$z"}},
		ShareLinks:    []*nodev1.PolicyShareLink{{ShareLinkId: "link_1", SecretSha256: key32, MaxUses: 3}},
		ServiceTokens: []*nodev1.PolicyServiceToken{{ServiceTokenId: "token_1", SecretSha256: keyOf(8)}},
	}
	v, err := decode(res(t, policyName, all))
	if err != nil {
		t.Fatal(err)
	}
	c := v.(*policy.Compiled)
	want := policy.WaySignIn | policy.WayMail | policy.WayPIN | policy.WayPassword | policy.WayBasic | policy.WayShareLink | policy.WayServiceToken
	if c.Ways() != want || c.Org() != "org_1" || !c.HTTP() || !c.Places() {
		t.Errorf("%+v", c)
	}
	// Each of these makes the deny rule, which has all kinds of conditions, not apply: none was left out.
	for i, strip := range []func(*policy.Facts){
		func(*policy.Facts) {},
		func(f *policy.Facts) { f.Path = "/b" },
		func(f *policy.Facts) { f.Method = "POST" },
		func(f *policy.Facts) { f.Country = "DE" },
		func(f *policy.Facts) { f.ASN = 1 },
		func(f *policy.Facts) { f.Header = nil },
		func(f *policy.Facts) { f.Time = f.Time.AddDate(0, 0, 1) },
		func(f *policy.Facts) { f.Client = netip.MustParseAddr("10.0.0.1") },
	} {
		f := policy.Facts{Client: netip.MustParseAddr("198.51.100.1"), Country: "CH", ASN: 64500, Time: monday, Method: "GET", Path: "/a/b", Header: map[string][]string{"X-A": {"b"}}}
		strip(&f)
		if d := policy.Decide(c, &f, &policy.Identity{}); (d.Action == policy.Deny) != (i == 0) {
			t.Errorf("%d: %v", i, d)
		}
	}
}

// A node of before refuses routes and forwards with a policy, and can't mistake them for those without: what it did with
// modes and protocols that it did not know is what this one does with the next.
func TestUnknownModesAreRefused(t *testing.T) {
	route, forward := guardedRoute(5), guardedForward()
	forward.GuardedProtocol = 4
	bare, open := routeMsg("service_5", "guarded.example.org", "c"), forwardMsg()
	bare.Policy, open.Policy = policyName, policyName // a policy and no guard: somebody has it wrong
	empty := guardedRoute(nodev1.RouteMode_ROUTE_MODE_TERMINATE)
	empty.Policy = ""
	twice := guardedRoute(nodev1.RouteMode_ROUTE_MODE_GUARDED)
	for i, m := range []proto.Message{route, forward, bare, open, empty, twice} {
		if v, err := decode(res(t, "x", m)); err == nil {
			t.Errorf("%d: %+v", i, v)
		}
	}
}
