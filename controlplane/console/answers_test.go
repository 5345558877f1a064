package console

import (
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// For names of services nodes answer with those of the pool that live and are not drained, if there are such.
func TestAnswers(t *testing.T) {
	r := newRig(t)
	r.furnish()
	q := &Request{Request: httptest.NewRequest("GET", "/console/orgs/default/domains/example.org", nil), Console: r.con, Who: r.key}
	answers := func() (out []Answered) {
		q.m, q.seen = r.world.Get(), nil
		for d := range q.m.Domains() {
			q.Org = q.m.Organization(d.Org)
			out = append(out, slices.Collect(q.answers(d))...)
		}
		return out
	}
	has := func(list []Answered, want Answered) bool { return slices.Contains(list, want) }
	wiki := func(kind, value string) Answered {
		return Answered{"wiki.example.org", kind, value, "wiki"}
	}
	got := answers()
	if !has(got, wiki("A", "192.0.2.1")) || !has(got, wiki("AAAA", "2001:db8::1")) { // edge-2 has not joined
		t.Errorf("%+v", got)
	}
	if !slices.ContainsFunc(got, func(a Answered) bool { return a.Type == "NS" && a.Name == "example.org" && a.Service == "" }) {
		t.Errorf("no name server: %+v", got)
	}
	if slices.ContainsFunc(got, func(a Answered) bool { return a.Service == "db" }) {
		t.Errorf("a service without a hostname: %+v", got)
	}
	_, rev, err := r.admin.Drain(t.Context(), r.key, "edge-1")
	r.must(rev, err)
	if got := answers(); !has(got, wiki("A", "192.0.2.1")) {
		t.Errorf("the last one is drained, and nobody is named: %+v", got)
	}
	r.join("edge-2", "")
	r.report(presence.Entry{Key: presence.Key{Kind: identity.Node, ID: r.nodeID("edge-2")}, Applied: 1})
	if got := answers(); !has(got, wiki("A", "192.0.2.2")) {
		t.Errorf("a node that is drained is named beside another: %+v", got)
	}
	server := func(node string) Answered {
		return Answered{Name: "example.org", Type: "NS", Value: "ns-" + node + ".example.org"}
	}
	if got := answers(); !has(got, server("edge-1")) || !has(got, server("edge-2")) {
		t.Errorf("a name server that is up is missing, a drained one perhaps: %+v", got)
	}
	r.report(presence.Entry{Key: presence.Key{Kind: identity.Node, ID: r.nodeID("edge-1")}})
	if got := answers(); has(got, server("edge-1")) || !has(got, server("edge-2")) || !has(got, Answered{Name: "ns-edge-1.example.org", Type: "A", Value: "192.0.2.1"}) {
		t.Errorf("edge-1 is down: %+v", got)
	}
	var d model.Domain
	for v := range r.world.Get().Domains() {
		d = *v
	}
	if d.Unproven = true; len(slices.Collect(q.answers(&d))) > 0 {
		t.Error("answers for a domain that is not proved")
	}
}
