package rest

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/wgkey"
)

type wireGuardView struct {
	Site, Address, Configuration string
	PublicKey                    string `json:"public_key"`
	PrivateKey                   string `json:"private_key"`
	QR                           []byte `json:"qr_png"`
	Nodes                        []struct{ Node, Endpoint, Address string }
}

// peerWorld is a cluster with three nodes that have joined, and a wireguard site.
func peerWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.service()
	for _, n := range []string{"n1", "n2", "n3"} {
		w.must(w.made(n), "PUT", "/api/v1/nodes/"+n, `{"pool":"default","region":"default","addresses":["192.0.2.1"],"wireguard_endpoint":"192.0.2.`+n[1:]+`:51820"}`)
		w.joined(n)
	}
	w.must(201, "POST", org+"/sites", `{"name":"router","pool":"default","kind":"wireguard","tunnels":2}`)
	return w
}

func (w *world) made(node string) int {
	if node == "n1" { // by service
		return 200
	}
	return 201
}

// The private key of a pair is shown by the call that made it, and by no other.
func TestWireGuardConfiguration(t *testing.T) {
	w := peerWorld(t)
	const at = org + "/sites/router/wireguard"
	var before, made, after, one wireGuardView
	w.must(200, "GET", at, "").into(t, &before)
	if before.PublicKey != "" || !strings.Contains(before.Configuration, "none yet") || len(before.Nodes) != 2 {
		t.Errorf("without a key: %+v", before)
	}
	r := w.must(200, "POST", at+"/rotate", "")
	if r.into(t, &made); r.revision == 0 || r.header.Get("Cache-Control") != "no-store" {
		t.Errorf("revision %d, %v", r.revision, r.header)
	}
	raw, err := base64.StdEncoding.DecodeString(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	private, err := wgkey.PrivateFromBytes(raw)
	if err != nil || private.Public().String() != made.PublicKey || !strings.Contains(made.Configuration, "\nPrivateKey = "+made.PrivateKey+"\n") {
		t.Errorf("%v %+v", err, made)
	}
	if _, err := png.Decode(bytes.NewReader(made.QR)); err != nil {
		t.Error(err)
	}
	g := w.must(200, "GET", at, "")
	if g.into(t, &after); after.PublicKey != made.PublicKey || bytes.Contains(g.body, []byte("private_key")) || strings.Contains(string(g.body), made.PrivateKey) || after.QR != nil {
		t.Errorf("afterwards: %s", g.body)
	}
	if s := w.must(200, "GET", org+"/sites/router", ""); !strings.Contains(string(s.body), after.Address) || !strings.Contains(string(s.body), made.PublicKey) {
		t.Errorf("the site: %s", s.body)
	}
	// The tunnel to one node, also to one that is not among the preferred ones.
	for _, n := range []string{"n1", "n2", "n3"} {
		if w.must(200, "GET", at+"?node="+n, "").into(t, &one); len(one.Nodes) != 1 || one.Nodes[0].Node != n || strings.Count(one.Configuration, "[Peer]") != 1 || one.Address != made.Address {
			t.Errorf("%+v", one)
		}
	}

	// What is written without a key keeps it; another one, of a device's own, takes its place.
	w.must(200, "PUT", org+"/sites/router", `{"pool":"default","kind":"wireguard","tunnels":1}`)
	if w.must(200, "GET", at, "").into(t, &after); after.PublicKey != made.PublicKey || len(after.Nodes) != 1 {
		t.Errorf("after it was written: %+v", after)
	}
	own := key(t)
	var given wireGuardView
	g = w.must(200, "POST", at+"/rotate", `{"public_key":"`+own+`"}`)
	if g.into(t, &given); given.PublicKey != own || given.PrivateKey != "" || given.QR != nil {
		t.Errorf("%s", g.body)
	}
	if g := w.must(200, "POST", at+"/rotate", `{"public_key":"`+own+`"}`); g.holds == 0 || g.revision != 0 {
		t.Error("the same was written again, or there is no revision to wait for")
	}
}

func key(t testing.TB) string {
	t.Helper()
	k, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	return k.Public().String()
}

// A target of a wireguard site is the site's one address.
func TestTargetsOfWireGuardSites(t *testing.T) {
	w := peerWorld(t)
	var site, target struct{ Address string }
	w.must(200, "GET", org+"/sites/router", "").into(t, &site)
	if w.must(201, "POST", org+"/targets", `{"name":"a","service":"wiki","site":"router","port":80}`).into(t, &target); target.Address != site.Address {
		t.Errorf("%+v, the site is at %s", target, site.Address)
	}
	w.must(200, "PUT", org+"/targets/a", `{"service":"wiki","site":"router","address":"`+site.Address+`","port":81}`)
	w.must(201, "POST", org+"/targets", `{"name":"checked","service":"wiki","site":"router","port":80,"health_check":{"kind":"tcp"}}`)
	for _, c := range []struct{ method, path, body, field, says string }{
		{"POST", "/targets", `{"name":"x","service":"wiki","site":"router","address":"10.0.0.1","port":80}`, "body.address", "leave it out"},
		{"POST", "/targets", `{"name":"x","service":"wiki","site":"router","address":"fd57:6172:7265:3::1","port":80}`, "body.address", ""},
		{"POST", "/targets", `{"name":"x","service":"wiki","site":"home","address":"` + site.Address + `","port":80}`, "body.address", "Warren's own"},
		{"POST", "/targets", `{"name":"x","service":"wiki","site":"home","port":80}`, "body.address", "missing"},
		{"POST", "/connectors", `{"name":"x","site":"router"}`, "body.site", "wireguard site"},
		{"PUT", "/sites/router", `{"pool":"default"}`, "body.kind", "another site"},
		{"PUT", "/sites/home", `{"pool":"default","kind":"wireguard"}`, "body.kind", "another site"},
		{"PUT", "/sites/home", `{"pool":"default","wireguard_public_key":"` + key(t) + `"}`, "body.wireguard_public_key", "only a wireguard site"},
		{"POST", "/sites", `{"name":"x","pool":"default","kind":"wireguard","carrier":"stream"}`, "body.carrier", "none"},
		{"POST", "/sites", `{"name":"x","pool":"default","kind":"wireguard","wireguard_public_key":"short"}`, "body.wireguard_public_key", "32 bytes"},
		{"POST", "/sites/router/wireguard/rotate", `{"public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`, "body.public_key", "zero"},
		{"GET", "/sites/router/wireguard?node=n9", "", "body.node", "no node"},
	} {
		r := w.call(c.method, org+c.path, c.body)
		if r.status != http.StatusUnprocessableEntity || !slices.Contains(r.locations(t), c.field) || !strings.Contains(string(r.body), c.says) {
			t.Errorf("%s %s %s: %d %s; want %s to say %q", c.method, c.path, c.body, r.status, r.body, c.field, c.says)
		}
	}
	if r := w.call("GET", org+"/sites/home/wireguard", ""); r.status != http.StatusConflict || !strings.Contains(string(r.body), "connector site") {
		t.Errorf("of another site: %d %s", r.status, r.body)
	}
}

// A key is one peer in all of the cluster: nobody takes another's place by writing his public key down.
func TestWireGuardKeysAreApart(t *testing.T) {
	w := peerWorld(t)
	stranger := w.orgKey("acme")
	var mine wireGuardView
	w.must(200, "POST", org+"/sites/router/wireguard/rotate", "").into(t, &mine)
	const sites = "/api/v1/orgs/acme/sites"
	for _, k := range []string{mine.PublicKey, w.nodeKey("n1")} {
		r := w.as(stranger, "POST", sites, `{"name":"x","pool":"default","kind":"wireguard","wireguard_public_key":"`+k+`"}`)
		if r.status != http.StatusConflict || strings.Contains(string(r.body), "router") {
			t.Errorf("%s: %d %s", k, r.status, r.body)
		}
	}
}

// joined lets a node have a key, as if it had joined.
func (w *world) joined(name string) {
	w.t.Helper()
	_, err := w.db.Tx(w.t.Context(), "test", func(tx *store.Tx) error {
		n, err := tx.GetNodeByName(w.t.Context(), name)
		if err != nil {
			return err
		}
		if n.WireGuardKey, err = wgkey.ParsePublic(key(w.t)); err != nil {
			return err
		}
		_, err = tx.UpdateNode(w.t.Context(), n)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) nodeKey(name string) (key string) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(tx *store.Tx) error {
		n, err := tx.GetNodeByName(w.t.Context(), name)
		if err == nil {
			key = n.WireGuardKey.String()
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}
