package rest

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// A snapshot says what a resource that is not in sync was: what is applied, or, when a node has refused the newest, what was
// wanted before; keys that were replaced are not in it.
func TestSnapshotsShowWhatResourcesWere(t *testing.T) {
	w := newWorld(t)
	w.service()
	node, _, rev := w.enroll("n1", "box")
	says := func(rejected ...presence.Rejected) {
		w.seen.UpdateEntry(presence.Entry{Key: presence.Key{Kind: identity.Node, ID: node}, Replica: "r2", Since: time.Now(), Applied: rev, Rejected: rejected, Seq: uint64(len(rejected))})
	}
	says()
	type state struct{ Version string }
	type resourceOf struct {
		Type, Name, Status string
		Desired, Applied   state
		Content            struct{ Hostname string }
		Former             *struct {
			Version string
			Until   uint64 `json:"until_revision"`
			Applied bool
			Content struct{ Hostname string }
		}
	}
	route := func() resourceOf {
		t.Helper()
		var one struct{ Resources []resourceOf }
		w.must(200, "GET", "/debug/snapshots/n1", "").into(t, &one)
		var found resourceOf
		for _, res := range one.Resources {
			if res.Status == "synced" && res.Former != nil {
				t.Errorf("in sync, and was another: %+v", res)
			}
			if res.Type == "Route" {
				found = res
			}
		}
		return found
	}
	first := route()
	if first.Status != "synced" || first.Content.Hostname != "wiki.example.com" {
		t.Fatalf("%+v", first)
	}
	made := w.must(200, "PUT", org+"/services/wiki", `{"kind":"http","hostname":"docs.example.com","pool":"default"}`)
	if _, err := w.now.Wait(t.Context(), model.Revision(made.revision)); err != nil {
		t.Fatal(err)
	}
	is := route()
	if f := is.Former; is.Status != "pending" || f == nil || !f.Applied || f.Version != first.Desired.Version || f.Version != is.Applied.Version || f.Until != uint64(made.revision) ||
		f.Content.Hostname != "wiki.example.com" || is.Content.Hostname != "docs.example.com" {
		t.Errorf("%+v, was %+v", is, is.Former)
	}
	rev = model.Revision(made.revision)
	says(presence.Rejected{TypeURL: resource.Route, Name: is.Name, Version: is.Desired.Version, Reason: "no"})
	refused := route()
	if f := refused.Former; refused.Status != "rejected" || f == nil || f.Applied || f.Version != first.Desired.Version || f.Content.Hostname != "wiki.example.com" {
		t.Errorf("%+v, was %+v", refused, refused.Former)
	}
}
