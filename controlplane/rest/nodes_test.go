package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/anypb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/wgkey"
)

func TestNodeFields(t *testing.T) {
	w := newWorld(t)
	type view struct {
		Capacity  int
		Stream    string `json:"stream_endpoint"`
		Gossip    string `json:"gossip_endpoint"`
		WireGuard string `json:"wireguard_endpoint"`
		Addresses []string
		Pinned    []string
	}
	for _, tc := range []struct {
		body string
		want view
	}{
		{`{"pool":"default"}`, view{Capacity: 100, Addresses: []string{}}},
		{`{"pool":"default","addresses":["192.0.2.2","192.0.2.1"]}`, view{100, "192.0.2.1:443", "192.0.2.1:7946", "", []string{"192.0.2.1", "192.0.2.2"}, []string{"addresses"}}},
		{`{"pool":"default","capacity":7,"stream_endpoint":"192.0.2.9:8443","gossip_endpoint":"[2001:db8::1]:1","wireguard_endpoint":"192.0.2.9:2"}`,
			view{7, "192.0.2.9:8443", "[2001:db8::1]:1", "192.0.2.9:2", []string{"192.0.2.1", "192.0.2.2"}, []string{"gossip_endpoint", "stream_endpoint", "wireguard_endpoint"}}},
		{`{"pool":"default","stream_endpoint":"Edge.Example.org:8443","gossip_endpoint":"localhost:1","wireguard_endpoint":"edge.example.org.:2"}`,
			view{100, "edge.example.org:8443", "localhost:1", "edge.example.org:2", []string{"192.0.2.1", "192.0.2.2"}, []string{"gossip_endpoint", "stream_endpoint", "wireguard_endpoint"}}},
		{`{"pool":"default","stream_endpoint":"192.0.2.9:8443","gossip_endpoint":"[2001:db8::1]:1","wireguard_endpoint":"192.0.2.9:2"}`,
			view{100, "192.0.2.9:8443", "[2001:db8::1]:1", "192.0.2.9:2", []string{"192.0.2.1", "192.0.2.2"}, []string{"gossip_endpoint", "stream_endpoint", "wireguard_endpoint"}}},
		// What is no longer written stays until the node says something else.
		{`{"pool":"default"}`, view{100, "192.0.2.9:8443", "[2001:db8::1]:1", "192.0.2.9:2", []string{"192.0.2.1", "192.0.2.2"}, nil}},
	} {
		var got view
		if w.call("PUT", "/api/v1/nodes/n1", tc.body).into(t, &got); got.Capacity != tc.want.Capacity || got.Stream != tc.want.Stream || got.Gossip != tc.want.Gossip ||
			got.WireGuard != tc.want.WireGuard || !slices.Equal(got.Addresses, tc.want.Addresses) || !slices.Equal(got.Pinned, tc.want.Pinned) {
			t.Errorf("%s: %+v, want %+v", tc.body, got, tc.want)
		}
	}
	for body, field := range map[string]string{
		`{"pool":"default","capacity":0}`:                           "body.capacity",
		`{"pool":"default","capacity":1001}`:                        "body.capacity",
		`{"pool":"default","stream_endpoint":"edge.example"}`:       "body.stream_endpoint",
		`{"pool":"default","stream_endpoint":"192.0.2.1:0"}`:        "body.stream_endpoint",
		`{"pool":"default","gossip_endpoint":"192.0.2.1"}`:          "body.gossip_endpoint",
		`{"pool":"default","gossip_endpoint":"0.0.0.0:7946"}`:       "body.gossip_endpoint",
		`{"pool":"default","gossip_endpoint":"[fe80::1%eth0]:7"}`:   "body.gossip_endpoint",
		`{"pool":"default","wireguard_endpoint":"224.0.0.1:51820"}`: "body.wireguard_endpoint",
	} {
		if r := w.call("PUT", "/api/v1/nodes/n1", body); r.status != http.StatusUnprocessableEntity || !slices.Contains(r.locations(t), field) {
			t.Errorf("%s: %d %s; want %s", body, r.status, r.body, field)
		}
	}
}

type keyList struct {
	Items []struct{ ID, State string }
}

func (k keyList) states() string {
	var out []string
	for _, i := range k.Items {
		out = append(out, i.State)
	}
	return strings.Join(out, " ")
}

func TestRotationIsAskedForOnce(t *testing.T) {
	w := newWorld(t)
	var k keyList
	if w.must(200, "GET", "/api/v1/gossip-keys", "").into(t, &k); len(k.Items) != 0 {
		t.Errorf("%+v", k)
	}
	first := w.must(200, "POST", "/api/v1/gossip-keys/rotate", "")
	if first.into(t, &k); k.states() != "asked" || first.revision == 0 {
		t.Errorf("%s", first.body)
	}
	if again := w.must(200, "POST", "/api/v1/gossip-keys/rotate", ""); again.revision != 0 || string(again.body) != string(first.body) {
		t.Errorf("%s, then %s", first.body, again.body)
	}
	key := w.orgKey("acme")
	for _, c := range []struct{ method, path string }{{"GET", "/api/v1/gossip-keys"}, {"POST", "/api/v1/gossip-keys/rotate"}} {
		if r := w.as(key, c.method, c.path, ""); r.status != http.StatusForbidden {
			t.Errorf("%s with an organization's key: %d", c.path, r.status)
		}
	}
}

// Who is no longer trusted knows the present key.
func TestRevokingRotates(t *testing.T) {
	for verb, call := range map[string]struct {
		method, path string
		status       int
	}{
		"revoke": {"POST", "/api/v1/nodes/n1/revoke", 200},
		"delete": {"DELETE", "/api/v1/nodes/n1", 204},
	} {
		w := newWorld(t)
		w.service()
		enrolled := func() {
			_, err := w.db.Tx(t.Context(), "test", func(tx *store.Tx) error {
				n, err := tx.GetNodeByName(t.Context(), "n1")
				if err != nil {
					return err
				}
				n.WireGuardKey = wgkey.Public{1}
				_, err = tx.UpdateNode(t.Context(), n)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		enrolled()
		w.must(call.status, call.method, call.path, "")
		var k keyList
		if w.must(200, "GET", "/api/v1/gossip-keys", "").into(t, &k); k.states() != "asked" {
			t.Errorf("%s: %+v", verb, k)
		}
	}
}

func TestSnapshotsShowNoKeys(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	body, err := anypb.New(&nodev1.NodeConfig{Name: "n1", GossipKeys: [][]byte{secret}})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := snapshot.Shown(body)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(secret)
	if s := string(shown); strings.Contains(s, "gossipKeys\"") || strings.Contains(s, "MDEyMzQ1") || !strings.Contains(s, hex.EncodeToString(sum[:])) || !strings.Contains(s, `"name":"n1"`) {
		t.Errorf("%s", s)
	}
}
