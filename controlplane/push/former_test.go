package push

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

func compiled(t *testing.T, typeURL, name string, msg proto.Message) *snapshot.Resource {
	t.Helper()
	body, err := anypb.New(msg)
	if err != nil {
		t.Fatal(err)
	}
	return &snapshot.Resource{TypeURL: typeURL, Name: name, Version: resource.Version(typeURL, 1, body.Value), Any: body, Scopes: []string{resource.ScopeCluster}}
}

// What a resource was is known until it is too much: versions in order, contents without secrets, also of what is gone.
func TestFormer(t *testing.T) {
	x := newIndex(1, bounds{100, 1 << 20})
	rev := model.Revision(1)
	step := func(ch snapshot.Changes) {
		t.Helper()
		ch.Revision = rev
		if _, ok := x.publish(ch, model.Empty()); !ok {
			t.Fatal("refused")
		}
		rev++
	}
	route := func(host string) *snapshot.Resource {
		return compiled(t, resource.Route, "route/a", &nodev1.Route{Hostname: host})
	}
	cert := func(key string) *snapshot.Resource {
		return compiled(t, resource.Certificate, "certificate/a", &nodev1.Certificate{PrivateKeyPem: []byte(key)})
	}
	a, b := route("a.example.org"), route("b.example.org")
	step(snapshot.Changes{Full: true, Upserts: []*snapshot.Resource{a, cert("first key")}})
	step(snapshot.Changes{Upserts: []*snapshot.Resource{b}})
	step(snapshot.Changes{Upserts: []*snapshot.Resource{b, cert("second key")}}) // the route is as it was
	step(snapshot.Changes{Removed: []snapshot.Ref{b.Ref()}})
	s := &Server{index: x}
	got := s.Former(resource.Route, "route/a")
	if len(got) != 2 || got[0].Version != a.Version || got[0].Until != 2 || got[1].Version != b.Version || got[1].Until != 4 {
		t.Fatalf("%+v", got)
	}
	if shown, err := got[0].Shown(); err != nil || !strings.Contains(string(shown), "a.example.org") {
		t.Errorf("%s %v", shown, err)
	}
	keys := s.Former(resource.Certificate, "certificate/a")
	if len(keys) != 1 || keys[0].body != nil {
		t.Fatalf("a replaced key is kept: %+v", keys)
	}
	if shown, err := keys[0].Shown(); err != nil || !strings.Contains(string(shown), "privateKeySha256") {
		t.Errorf("%s %v", shown, err)
	}
}

// However much changes, no more is kept than the bound; the newest is.
func TestFormerIsBounded(t *testing.T) {
	f := &former{bound: 4000, of: map[snapshot.Ref][]Former{}}
	for i := range 1000 {
		f.keep(shared(i%7, i), model.Revision(i))
		if f.bytes > f.bound {
			t.Fatalf("%d bytes after %d", f.bytes, i)
		}
	}
	kept := 0
	for ref, list := range f.of {
		for _, v := range list {
			kept += v.size()
		}
		if len(list) == 0 {
			t.Error("nothing is kept of", ref)
		}
	}
	if kept != f.bytes || len(f.of) == 0 || f.of[shared(999%7, 0).Ref()] == nil {
		t.Error(fmt.Sprint(kept, " bytes are there, ", f.bytes, " are counted: "), len(f.of))
	}
}
