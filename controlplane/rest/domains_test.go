package rest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/preflight"
)

// inspector is a Preflight that answers what it is told to.
type inspector struct {
	mu    sync.Mutex
	asked []preflight.Question
	err   error
}

func (i *inspector) Check(ctx context.Context, q preflight.Question) (preflight.Report, error) {
	i.mu.Lock()
	i.asked = append(i.asked, q)
	i.mu.Unlock()
	return preflight.Report{
		Methods:  map[string][]model.ChallengeType{q.Names[0]: {model.DNS01}},
		Problems: []preflight.Problem{{Code: preflight.StaleDS, Message: "remove it"}}, Warnings: []preflight.Problem{{Code: preflight.MissingServers, Name: "x", Message: "add it"}},
		Records: []preflight.Record{{Name: q.Apex, Type: "NS", Value: q.Servers[0].Host}},
	}, i.err
}

func TestCheckDomain(t *testing.T) {
	w := newWorld(t)
	w.service()
	i := &inspector{}
	w.api.Preflight = i
	w.must(201, "POST", "/api/v1/issuers", `{"name":"one",`+directory+`}`)
	w.enroll("n1", "box")
	w.must(201, "POST", org+"/services", `{"name":"all","kind":"http","hostname":"*.example.com","pool":"default"}`)
	w.must(201, "POST", org+"/services", `{"name":"pass","kind":"tls","hostname":"pass.example.com","pool":"default"}`)
	if _, err := w.now.Wait(t.Context(), w.head()); err != nil {
		t.Fatal(err)
	}
	var v domainCheckView
	w.must(200, "GET", org+"/domains/example.com/check", "").into(t, &v)
	if v.OK || len(v.Problems) != 1 || v.Problems[0].Code != "stale_ds" || v.Warnings[0].Name != "x" || v.CheckedAt.IsZero() ||
		v.Records[0] != (domainRecordView{"example.com", "NS", "ns-n1.example.com"}) {
		t.Errorf("%+v", v)
	}
	q := i.asked[0]
	if slices.Sort(q.Names); q.Apex != "example.com" || !slices.Equal(q.Names, []string{"*.example.com", "wiki.example.com"}) || len(q.Addresses) != 1 || len(q.Issuers) != 1 || q.Zones[0].Apex != "example.com" {
		t.Errorf("asked %+v", q)
	}
	// A domain without services is asked about itself.
	w.must(201, "POST", org+"/domains", `{"name":"example.net","pool":"default"}`)
	if _, err := w.now.Wait(t.Context(), w.head()); err != nil {
		t.Fatal(err)
	}
	w.must(200, "GET", org+"/domains/example.net/check", "")
	if q := i.asked[1]; !slices.Equal(q.Names, []string{"example.net"}) {
		t.Errorf("asked %+v", q)
	}
	i.err = errors.New("cut")
	if r := w.call("GET", org+"/domains/example.com/check", ""); r.status != 503 {
		t.Errorf("%d %s", r.status, r.body)
	}
	asked := len(i.asked)
	if r := w.as(w.orgKey("stranger"), "GET", org+"/domains/example.com/check", ""); r.status != 404 && r.status != 403 || len(i.asked) != asked {
		t.Errorf("a stranger: %d %s", r.status, r.body)
	}
	w.api.Preflight = nil
	if r := w.call("GET", org+"/domains/example.com/check", ""); r.status != 503 || strings.Contains(string(r.body), "panic") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
