package console

import (
	"regexp"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// A machine becomes a node by the form and the command that it shows; the page knows by itself how far it has come.
func TestJoinNode(t *testing.T) {
	r := newRig(t)
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	_, rev, err := r.admin.Regions.Create(t.Context(), r.key, "", "west", admin.RegionSpec{})
	r.must(rev, err)
	const at = "/console/cluster/"
	if got := b.get(at + "nodes"); !strings.Contains(got.body, `href="/console/cluster/join-node"`) {
		t.Errorf("no way to it: %s", got.body)
	}
	for _, p := range nodePlatforms {
		got := b.post(at+"join-node", "name", "edge-7", "platform", p.ID, "pool", "default", "region", "west", "addresses", "192.0.2.7\n2001:db8::7", "labels", "env=prod\nrack=a-1")
		if got.status != 200 || !regexp.MustCompile(`wjt1\.`).MatchString(got.body) || !strings.Contains(got.body, "control.example.com:8443") || !strings.Contains(got.body, p.Text) {
			t.Fatalf("%s: %d: %s", p.ID, got.status, got.body)
		}
	}
	v, err := r.admin.Nodes.Get(t.Context(), r.key, "", "edge-7")
	if err != nil || v.Pool != "default" || v.Region != "west" || len(v.Addresses) != 2 || len(v.Labels) != 2 || v.Labels["rack"] != "a-1" {
		t.Errorf("%+v %v", v, err)
	}
	r.catchUp()
	if got := b.get(at + "join-tokens"); strings.Count(got.body, "Revoke the token for edge-7") != 1 || !strings.Contains(got.body, "root@example.org") {
		t.Errorf("not the last token alone: %s", got.body)
	}
	for _, tc := range []struct {
		typed  []string
		status int
		shows  []string
	}{
		{[]string{"name", "No Name"}, 422, []string{`id="w-name"`, `value="No Name"`}},
		{[]string{"name", ""}, 422, []string{`id="w-name"`}},
		{[]string{"name", "edge-8", "platform", "abacus"}, 422, []string{`id="w-platform"`, `value="edge-8"`}},
		{[]string{"name", "edge-8", "pool", "nowhere"}, 422, []string{"nowhere"}},
		{[]string{"name", "edge-8", "region", "nowhere"}, 422, []string{`id="w-region"`}},
		{[]string{"name", "edge-8", "addresses", "192.0.2"}, 422, []string{`id="w-addresses"`, ">192.0.2<"}},
		{[]string{"name", "edge-8", "labels", "prod"}, 422, []string{`id="w-labels"`, ">prod<"}},
		{[]string{"name", "edge-8", "labels", "env=a b"}, 422, []string{`id="w-labels"`}},
		{[]string{"name", "edge-8", "labels", "env=-"}, 422, []string{`id="w-labels"`}},
	} {
		typed := append([]string{"platform", "binary", "pool", "default"}, tc.typed...)
		got := b.post(at+"join-node", lastOf(typed)...)
		if got.status != tc.status || strings.Contains(got.body, "wjt1.") {
			t.Errorf("%v: %d, want %d: %s", tc.typed, got.status, tc.status, got.body)
		}
		for _, s := range tc.shows {
			if !strings.Contains(got.body, s) {
				t.Errorf("%v: no %s", tc.typed, s)
			}
		}
	}
	if _, err := r.admin.Nodes.Get(t.Context(), r.key, "", "edge-8"); err == nil {
		t.Error("a node of which something is wrong is there")
	}
	if got := b.get(at + "join-node/edge-7"); !strings.Contains(got.body, "Waiting for edge-7") {
		t.Errorf("%s", got.body)
	}
	r.join("edge-7", "")
	r.catchUp()
	if got := b.get(at + "join-node/edge-7"); !strings.Contains(got.body, "gets its configuration") {
		t.Errorf("%s", got.body)
	}
	r.report(presence.Entry{Key: presence.Key{Kind: identity.Node, ID: r.nodeID("edge-7")}, Applied: r.world.Get().Revision()})
	if got := b.get(at + "join-node/edge-7"); !strings.Contains(got.body, "has joined, and has its configuration") || !strings.Contains(got.body, "badge good") {
		t.Errorf("%s", got.body)
	}
	if got := b.post(at+"join-node", "name", "edge-7", "platform", "binary", "pool", "default"); got.status != 422 || !strings.Contains(got.body, "there is a node edge-7 already") {
		t.Errorf("one that serves: %d %s", got.status, got.body)
	}
}

// lastOf keeps of pairs of the same name the last one.
func lastOf(pairs []string) []string {
	at, out := map[string]int{}, []string{}
	for i := 0; i < len(pairs); i += 2 {
		if j, ok := at[pairs[i]]; ok {
			out[j+1] = pairs[i+1]
			continue
		}
		at[pairs[i]] = len(out)
		out = append(out, pairs[i], pairs[i+1])
	}
	return out
}
