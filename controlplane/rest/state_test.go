package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
	"github.com/warrenedge/warren/shared/wgkey"
)

// enroll lets a node and a connector join, and returns their ids and the revision.
func (w *world) enroll(node, connector string) (nodeID, connectorID string, rev model.Revision) {
	w.t.Helper()
	rev, err := w.db.Tx(w.t.Context(), "test", func(tx *store.Tx) error {
		o, err := tx.GetOrganizationByName(w.t.Context(), "default")
		if err != nil {
			return err
		}
		n, err := tx.GetNodeByName(w.t.Context(), node)
		if err != nil {
			return err
		}
		c, err := tx.GetConnectorByName(w.t.Context(), o.ID, connector)
		if err != nil {
			return err
		}
		if n.WireGuardKey, err = publicKey(); err != nil {
			return err
		}
		if c.WireGuardKey, err = publicKey(); err != nil {
			return err
		}
		nodeID, connectorID = n.ID.String(), c.ID.String()
		if _, err := tx.UpdateNode(w.t.Context(), n); err != nil {
			return err
		}
		_, err = tx.UpdateConnector(w.t.Context(), c)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.now.Wait(w.t.Context(), rev); err != nil {
		w.t.Fatal(err)
	}
	return nodeID, connectorID, rev
}

func publicKey() (wgkey.Public, error) {
	k, err := wgkey.New()
	return k.Public(), err
}

// report says what a node or connector would.
func (w *world) report(kind identity.Kind, id string, applied model.Revision) {
	w.seen.Report(w.t.Context(), presence.Entry{
		Key: presence.Key{Kind: kind, ID: id}, Since: time.Now(), Seen: time.Now(), Applied: applied, Version: "v1",
		Tunnels: []presence.Tunnel{{Peer: "connector_x", Up: true, LastHandshake: time.Now()}, {Peer: "connector_y"}},
	})
}

type waited struct {
	Revision                  uint64
	Applied, Pending, Offline []reader
}

func names(rs []reader) []string {
	out := []string{}
	for _, r := range rs {
		out = append(out, r.Name)
	}
	slices.Sort(out)
	return out
}

func TestWait(t *testing.T) {
	w := newWorld(t)
	w.service()
	node, box, rev := w.enroll("n1", "box")
	at := func(rev model.Revision, timeout string) string {
		return fmt.Sprintf("/api/v1/wait?revision=%d&timeout=%s", rev, timeout)
	}
	var got waited
	w.must(200, "GET", at(rev, "20s"), "").into(t, &got)
	if len(got.Applied)+len(got.Pending) != 0 || !slices.Equal(names(got.Offline), []string{"box", "n1"}) {
		t.Errorf("nobody is connected: %+v", got)
	}
	w.report(identity.Connector, box, rev)
	w.report(identity.Node, node, rev-1)
	late := w.call("GET", at(rev, "1ms"), "")
	if late.status != http.StatusGatewayTimeout || !strings.Contains(string(late.body), "n1") {
		t.Errorf("%d %s", late.status, late.body)
	}
	done := make(chan reply, 1)
	go func() { done <- w.call("GET", at(rev, "20s"), "") }()
	w.report(identity.Node, node, rev)
	r := <-done
	if r.into(t, &got); r.status != http.StatusOK || !slices.Equal(names(got.Applied), []string{"box", "n1"}) {
		t.Errorf("%d %s", r.status, r.body)
	}
	// A change that a reader does not read is not waited for.
	other := w.must(201, "POST", "/api/v1/pools", `{"name":"second"}`)
	w.must(200, "GET", at(model.Revision(other.revision), "20s"), "")
	// A revision that does not exist yet.
	if r := w.call("GET", at(1_000_000, "1ms"), ""); r.status != http.StatusGatewayTimeout {
		t.Errorf("the future: %d %s", r.status, r.body)
	}
	// Strangers learn no names.
	r = w.as(w.orgKey("stranger"), "GET", at(rev, "20s"), "")
	if r.status != http.StatusOK || strings.Contains(string(r.body), `"n1"`) || strings.Contains(string(r.body), `"box"`) {
		t.Errorf("a stranger sees %d %s", r.status, r.body)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	w.service()
	type member struct {
		Name, Site, State, Replica, Version string
		Applied                             uint64 `json:"applied_revision"`
		Up                                  int    `json:"tunnels_up"`
		Tunnels                             int
		States                              []struct {
			Peer          string
			Up            bool
			LastHandshake *time.Time `json:"last_handshake"`
		} `json:"tunnel_states"`
	}
	type status struct {
		Revision uint64
		Replicas []struct {
			ID   string
			Self bool
		}
		Nodes, Connectors []member
		Database          struct{ OK bool }
	}
	read := func() (s status) {
		w.must(200, "GET", "/api/v1/status", "").into(t, &s)
		if len(s.Nodes) != 1 || len(s.Connectors) != 1 || s.Connectors[0].Site != "home" {
			t.Fatalf("%+v", s)
		}
		return s
	}
	w.must(200, "GET", fmt.Sprintf("/api/v1/wait?revision=%d", w.head()), "")
	if s := read(); s.Nodes[0].State != "joining" || s.Connectors[0].State != "joining" || !s.Database.OK || len(s.Replicas) != 1 || !s.Replicas[0].Self {
		t.Errorf("before: %+v", s)
	}
	node, box, rev := w.enroll("n1", "box")
	if s := read(); s.Nodes[0].State != "down" || s.Connectors[0].State != "down" {
		t.Errorf("joined and gone: %+v", s)
	}
	w.report(identity.Node, node, 0)
	w.report(identity.Connector, box, rev)
	s := read()
	if s.Nodes[0].State != "joining" {
		t.Errorf("connected without a configuration: %+v", s.Nodes[0])
	}
	c := s.Connectors[0]
	if c.State != "up" || c.Applied != uint64(rev) || c.Replica != "r1" || c.Version != "v1" || c.Up != 1 || c.Tunnels != 2 || len(c.States) != 2 ||
		!c.States[0].Up || c.States[0].LastHandshake == nil || c.States[1].LastHandshake != nil {
		t.Errorf("%+v", c)
	}
	revoked := w.must(200, "POST", "/api/v1/nodes/n1/revoke", "")
	if _, err := w.now.Wait(t.Context(), model.Revision(revoked.revision)); err != nil {
		t.Fatal(err)
	}
	if s := read(); s.Nodes[0].State != "revoked" {
		t.Errorf("revoked: %+v", s.Nodes[0])
	}
}

func TestSnapshots(t *testing.T) {
	w := newWorld(t)
	w.service()
	node, _, rev := w.enroll("n1", "box")
	var all struct {
		Revision uint64
		Items    []struct{ Kind, ID, Name, Status, Replica string }
	}
	w.must(200, "GET", "/debug/snapshots", "").into(t, &all)
	if len(all.Items) != 2 || all.Items[0].Name != "n1" || all.Items[0].Status != "offline" || all.Revision < uint64(rev) {
		t.Errorf("%+v", all)
	}
	w.seen.UpdateEntry(presence.Entry{Key: presence.Key{Kind: identity.Node, ID: node}, Replica: "r2", Since: time.Now(), Applied: rev})
	for _, ref := range []string{"n1", node} {
		var one struct {
			Kind, ID, Name, Status, Replica string
			Resources                       []struct {
				Type, Name, Status string
				Desired            struct {
					Version  string
					Revision uint64
				}
				Content map[string]any
			}
		}
		r := w.must(200, "GET", "/debug/snapshots/"+ref, "")
		r.into(t, &one)
		if one.Kind != "node" || one.ID != node || one.Name != "n1" || one.Replica != "r2" || one.Status != "synced" {
			t.Errorf("%+v", one)
		}
		types := map[string]int{}
		for _, res := range one.Resources {
			types[res.Type]++
			if res.Desired.Version == "" || res.Desired.Revision == 0 || len(res.Content) == 0 {
				t.Errorf("incomplete: %+v", res)
			}
			if res.Type == "Certificate" {
				if sum, _ := res.Content["privateKeySha256"].(string); len(sum) != 64 {
					t.Errorf("no fingerprint of the private key: %v", res.Content)
				}
			}
		}
		for _, typ := range []string{"NodeConfig", "Trust", "Certificate", "Node", "Site", "Route", "Zone", "RecordSet"} {
			if types[typ] == 0 {
				t.Errorf("no %s among %v", typ, types)
			}
		}
		if strings.Contains(string(r.body), "privateKeyPem") {
			t.Error("the snapshot shows a private key")
		}
	}
	w.must(404, "GET", "/debug/snapshots/nobody", "")
	w.must(200, "GET", "/api/v1/authorities?page_size=500", "") // a list like the others, to who reads all pages

	// Its stream is at another replica: what that one knows is shown here, too.
	type state struct{ Version string }
	var one struct {
		Resources []struct {
			Type, Name, Status, Reason           string
			Desired, Sent, Acknowledged, Applied state
		}
	}
	read := func() {
		t.Helper()
		w.must(200, "GET", "/debug/snapshots/n1", "").into(t, &one)
	}
	read()
	bad := presence.Rejected{TypeURL: resource.Certificate, Reason: "no PEM"}
	for _, res := range one.Resources {
		if res.Status != "synced" || res.Applied != res.Desired || res.Sent != res.Desired || res.Acknowledged != res.Desired {
			t.Errorf("%+v, want all as desired", res)
		}
		if res.Type == "Certificate" {
			bad.Name, bad.Version = res.Name, res.Desired.Version
		}
	}
	w.seen.UpdateEntry(presence.Entry{Key: presence.Key{Kind: identity.Node, ID: node}, Replica: "r2", Since: time.Now(), Applied: rev, Rejected: []presence.Rejected{bad}, Seq: 1})
	made := w.must(201, "PUT", org+"/services/more", `{"kind":"tls","hostname":"more.example.com","pool":"default"}`)
	if _, err := w.now.Wait(t.Context(), model.Revision(made.revision)); err != nil {
		t.Fatal(err)
	}
	one.Resources = nil
	read()
	seen := map[string]int{}
	for _, res := range one.Resources {
		seen[res.Status]++
		switch {
		case res.Name == bad.Name:
			if res.Status != "rejected" || res.Reason != bad.Reason || res.Applied.Version != "" || res.Sent.Version != bad.Version {
				t.Errorf("rejected elsewhere: %+v", res)
			}
		case res.Status == "pending" && res.Applied.Version != "":
			t.Errorf("has not applied it yet: %+v", res)
		}
	}
	if seen["rejected"] != 1 || seen["pending"] == 0 || seen["synced"] == 0 || seen["offline"] != 0 {
		t.Errorf("%v", seen)
	}
}

func TestStatusShowsMeasures(t *testing.T) {
	w := newWorld(t)
	w.service()
	node, box, rev := w.enroll("n1", "box")
	w.seen.UpdateEntry(presence.Entry{Key: presence.Key{Kind: identity.Connector, ID: box}, Replica: "r2", Since: time.Now(), Applied: rev, Tunnels: []presence.Tunnel{
		{Peer: node, Up: true, RoundTrip: 12345 * time.Microsecond, Loss: 0.5, Carrier: "stream", Transport: "udp"}, {Peer: "node_2"},
	}})
	var s struct {
		Connectors []struct {
			States []map[string]any `json:"tunnel_states"`
		}
	}
	w.must(200, "GET", "/api/v1/status", "").into(t, &s)
	states := s.Connectors[0].States
	if m := states[0]; m["round_trip_ms"] != 12.345 || m["loss"] != 0.5 || m["carrier"] != "stream" || m["transport"] != "udp" {
		t.Errorf("%v", m)
	}
	if m := states[1]; m["round_trip_ms"] != nil || m["carrier"] != nil || m["transport"] != nil || m["loss"] != 0.0 {
		t.Errorf("not measured: %v", m)
	}
}

// A connector whose state was copied is shown as such, with what to do, until it is revoked.
func TestCopiedStateShows(t *testing.T) {
	w := newWorld(t)
	w.service()
	_, box, rev := w.enroll("n1", "box")
	k := presence.Key{Kind: identity.Connector, ID: box}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		for _, process := range []string{"a", "b"} {
			w.seen.Report(t.Context(), presence.Entry{Key: k, Since: time.Now(), Seen: time.Now(), Applied: rev, Instance: process})
		}
		if _, ok := w.seen.Copied(k); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not noticed")
		}
	}
	type status struct {
		Nodes, Connectors []struct{ Alarm *struct{ Kind, Text string } }
	}
	var s, after status
	w.must(200, "GET", "/api/v1/status", "").into(t, &s)
	if a := s.Connectors[0].Alarm; a == nil || a.Kind != "copied" || !strings.Contains(a.Text, "warren site revoke box") {
		t.Errorf("%+v", a)
	}
	if s.Nodes[0].Alarm != nil {
		t.Errorf("of a node: %+v", s.Nodes[0].Alarm)
	}
	var c struct{ Alarm string }
	w.must(200, "GET", org+"/connectors/box", "").into(t, &c)
	if c.Alarm != "copied" {
		t.Errorf("%+v", c)
	}
	r := w.must(200, "POST", org+"/connectors/box/revoke", "")
	if _, err := w.now.Wait(t.Context(), model.Revision(r.revision)); err != nil {
		t.Fatal(err)
	}
	w.must(200, "GET", "/api/v1/status", "").into(t, &after)
	if after.Connectors[0].Alarm != nil {
		t.Errorf("revoked: %+v", after.Connectors[0].Alarm)
	}
}

// What connectors say of targets stands beside them, in the status, and in what nodes should have heard.
func TestTargetHealthShows(t *testing.T) {
	w := newWorld(t)
	w.service()
	w.must(201, "PUT", org+"/targets/checked", `{"service":"wiki","site":"home","address":"10.0.0.2","port":80,"health_check":{"kind":"tcp"}}`)
	node, box, rev := w.enroll("n1", "box")
	type target struct {
		ID     string
		Health *struct{ State, Reason string }
	}
	get := func(name string) (v target) {
		w.must(200, "GET", org+"/targets/"+name, "").into(t, &v)
		return v
	}
	if v := get("wiki"); v.Health != nil {
		t.Errorf("without a check: %+v", v.Health)
	}
	checked := get("checked")
	if checked.Health == nil || checked.Health.State != "unknown" {
		t.Fatalf("before any word: %+v", checked.Health)
	}
	w.seen.Report(t.Context(), presence.Entry{
		Key: presence.Key{Kind: identity.Connector, ID: box}, Since: time.Now(), Applied: rev,
		Targets: []presence.Target{{ID: checked.ID, Health: presence.TargetUnhealthy, Reason: "connection refused"}},
	})
	if v := get("checked"); v.Health.State != "unhealthy" || v.Health.Reason != "connection refused" {
		t.Errorf("%+v", v.Health)
	}
	var st struct {
		Targets struct {
			Healthy, Unhealthy, Unknown int
			Failing                     []struct{ Name, Organization, Service, Site, Reason string }
		}
	}
	w.must(200, "GET", "/api/v1/status", "").into(t, &st)
	if f := st.Targets.Failing; st.Targets.Unhealthy != 1 || st.Targets.Healthy+st.Targets.Unknown != 0 || len(f) != 1 || f[0].Name != "checked" ||
		f[0].Organization != "default" || f[0].Service != "wiki" || f[0].Site != "home" || f[0].Reason != "connection refused" {
		t.Errorf("%+v", st.Targets)
	}
	if r := w.as(w.orgKey("stranger"), "GET", "/api/v1/status", ""); strings.Contains(string(r.body), "refused") {
		t.Errorf("a stranger sees %s", r.body)
	}
	m := w.now.Get()
	id, err := model.TargetID{}.Parse(checked.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.api.Push.SetTargetHealth([]push.TargetHealth{{ID: id, Pool: m.Service(m.Target(id).Service).Pool}})
	var snap struct {
		Presence []struct {
			Type, Name, Reason string
			Sent               bool
			Content            struct{ State string }
		}
	}
	w.must(200, "GET", "/debug/snapshots/"+node, "").into(t, &snap)
	if p := snap.Presence; len(p) != 1 || p[0].Type != "TargetHealth" || p[0].Name != "targethealth/"+checked.ID || p[0].Sent || p[0].Reason != "connection refused" ||
		p[0].Content.State != "TARGET_STATE_UNHEALTHY" {
		t.Errorf("%+v", p)
	}
	w.must(200, "GET", "/debug/snapshots/"+box, "").into(t, &snap)
	if len(snap.Presence) != 0 {
		t.Errorf("a connector is told %+v", snap.Presence)
	}
}

// What a node rejected and nobody can list is counted, in the status and beside its resources.
func TestRejectionsThatAreNotListed(t *testing.T) {
	w := newWorld(t)
	w.service()
	node, _, rev := w.enroll("n1", "box")
	w.seen.UpdateEntry(presence.Entry{
		Key: presence.Key{Kind: identity.Node, ID: node}, Replica: "r2", Since: time.Now(), Applied: rev,
		Rejected: []presence.Rejected{{TypeURL: resource.Certificate, Name: "certificate/a", Version: "v", Reason: "bad"}}, Omitted: 41,
	})
	var st struct {
		Nodes []struct {
			Rejected int `json:"rejected"`
			Omitted  int `json:"rejected_omitted"`
		}
	}
	w.must(200, "GET", "/api/v1/status", "").into(t, &st)
	if n := st.Nodes[0]; n.Rejected != 42 || n.Omitted != 41 {
		t.Errorf("%+v", n)
	}
	var one struct {
		Omitted   int `json:"rejected_omitted"`
		Resources []struct{ Type, Status string }
	}
	w.must(200, "GET", "/debug/snapshots/n1", "").into(t, &one)
	seen := map[string]int{}
	for _, res := range one.Resources {
		seen[res.Status]++
	}
	if one.Omitted != 41 || seen["unknown"] == 0 || seen["synced"] != 0 {
		t.Errorf("%d omitted, %v", one.Omitted, seen)
	}
}
