package pushads

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// A node that was away comes back with its token. What it gets depends on what the replica still knows.
func TestResume(t *testing.T) {
	type env struct {
		w  *world
		a  push.Reader
		r  *replica // the node was connected to it
		n  *node
		to *replica // where the node comes back
	}
	route := func(content string) *snapshot.Resource { return put(resource.Route, "route/o/1", content, "pool/p") }
	for name, test := range map[string]struct {
		options func(*push.Options)
		away    func(*testing.T, *env)
		kind    push.Kind
		sent    int // resources
		resets  []string
	}{
		"nothing happened": {away: func(*testing.T, *env) {}, kind: push.KindCurrent},
		"others changed": {
			away: func(t *testing.T, e *env) {
				e.r.Publish(e.w.step([]*snapshot.Resource{put(resource.Route, "route/o/2", "x", "pool/q")}), nil)
			},
			kind: push.KindCurrent,
		},
		"some changes": {
			away: func(t *testing.T, e *env) {
				e.r.Publish(e.w.step([]*snapshot.Resource{route("new"), put(resource.Zone, "zone/o/1", "z", "pool/p")}), nil)
				e.r.Publish(e.w.step([]*snapshot.Resource{route("newer")}, snapshot.Ref{TypeURL: resource.Certificate, Name: "certificate/o/1"}), nil)
			},
			kind: push.KindTail, sent: 2,
		},
		"there and back again": {
			away: func(t *testing.T, e *env) {
				e.r.Publish(e.w.step([]*snapshot.Resource{route("new")}), nil)
				e.r.Publish(e.w.step([]*snapshot.Resource{route("one")}), nil)
			},
			kind: push.KindCurrent,
		},
		"more than the log holds": {
			options: func(o *push.Options) { o.LogEntries = 3 },
			away: func(t *testing.T, e *env) {
				for i := range 10 {
					e.r.Publish(e.w.step([]*snapshot.Resource{route(fmt.Sprint(i))}), nil)
				}
			},
			kind: push.KindTypes, sent: 1, resets: []string{resource.Route},
		},
		"a replica that started later": {
			away: func(t *testing.T, e *env) {
				e.w.step([]*snapshot.Resource{route("new")})
				e.to = newReplica(t, e.w)
				e.to.Publish(e.w.all(), nil)
			},
			kind: push.KindTypes, sent: 1, resets: []string{resource.Route},
		},
		"a replica that started later, same content": {
			away: func(t *testing.T, e *env) {
				e.w.step(nil)
				e.to = newReplica(t, e.w)
				e.to.Publish(e.w.all(), nil)
			},
			kind: push.KindCurrent,
		},
		"another pool": {
			away: func(t *testing.T, e *env) {
				e.w.allow(e.a, "cluster", "node/node_a", "pool/q")
				e.r.Publish(e.w.step(nil), nil)
			},
			kind: push.KindTypes, sent: 1, resets: []string{resource.Route}, // the certificate is in both pools
		},
		"another encoder": {
			away: func(t *testing.T, e *env) {
				e.n.get(func() { e.n.cp = proto.CloneOf(e.n.cp); e.n.cp.EncoderEpoch = 99 })
				e.r.Publish(e.w.step([]*snapshot.Resource{route("new")}), nil)
			},
			kind: push.KindTypes, sent: 1, resets: []string{resource.Route},
		},
		"a disk that lost its files": {
			away: func(t *testing.T, e *env) {
				e.n.get(func() { e.n.cp = nil; clear(e.n.versions); clear(e.n.content) })
			},
			kind: push.KindFull, sent: 5,
			resets: slices.DeleteFunc(resource.NodeTypes(), func(t string) bool { return resource.Ephemeral(t) || t == resource.Checkpoint }),
		},
		"a disk that lies": {
			away: func(t *testing.T, e *env) {
				e.n.get(func() { delete(e.n.versions[resource.Route], "route/o/1") })
			},
			kind: push.KindFull, sent: 5,
			resets: slices.DeleteFunc(resource.NodeTypes(), func(t string) bool { return resource.Ephemeral(t) || t == resource.Checkpoint }),
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, a, _ := sample()
			e := &env{w: w, a: a}
			e.r = newReplica(t, w, func(o *push.Options) {
				if test.options != nil {
					test.options(o)
				}
			})
			e.to = e.r
			e.r.Publish(w.all(), nil)
			e.n = newNode(a).run(t, e.r)
			e.n.reach(t, 2)
			e.n.stop()
			// As long as the replica has not noticed, it sends what happens now to where nobody is.
			eventually(t, func() bool { return e.r.metric(t, "cp_push_streams", "") == 0 }, func() string { return "the stream is over" })
			test.away(t, e)

			count := func(what string) float64 { return e.to.metric(t, "cp_push_resumes_total", what) }
			kind, all, sent := count(string(test.kind)), count(""), e.to.metric(t, "cp_push_resources_total", "")
			cps := e.to.metric(t, "cp_push_acks_total", "Checkpoint")
			e.n.run(t, e.to)
			// The replica may hear only now what the node said before it went away.
			eventually(t, func() bool { return count("") > all && e.to.metric(t, "cp_push_acks_total", "Checkpoint") > cps }, func() string { return "checkpoint" })
			e.n.reach(t, e.to.Published())
			e.n.equal(t, w)
			if count(string(test.kind)) != kind+1 || count("") != all+1 {
				t.Errorf("not one more resume of kind %s", test.kind)
			}
			if got := e.to.metric(t, "cp_push_resources_total", "") - sent; got != float64(test.sent) {
				t.Errorf("%v resources sent, want %d", got, test.sent)
			}
			e.n.get(func() {
				if !slices.Equal(e.n.resets, test.resets) {
					t.Errorf("types in full %v, want %v", e.n.resets, test.resets)
				}
				if e.n.cp.GetRevision() != uint64(e.to.Published()) {
					t.Errorf("at %d, replica at %d", e.n.cp.GetRevision(), e.to.Published())
				}
			})
		})
	}
}

// A reader that is ahead of a replica waits for it, but not for long.
func TestReaderAhead(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w, func(o *push.Options) { o.Hold = 20 * time.Millisecond })
	r.Publish(w.all(), nil)
	ahead := func(r *replica) *raw {
		c := dial(t, r, a)
		c.subscribe(resource.Route)
		c.send(&discovery.DeltaDiscoveryRequest{
			TypeUrl: resource.Checkpoint, ResourceNamesSubscribe: []string{"*"},
			InitialResourceVersions: token(t, &nodev1.Checkpoint{Revision: 4, EncoderEpoch: snapshot.Epoch}),
		})
		return c
	}
	if code := ahead(r).end(); code != codes.Unavailable {
		t.Errorf("stream ended with %v, want Unavailable", code)
	}

	patient := newReplica(t, w, func(o *push.Options) { o.Hold = patience })
	patient.Publish(w.all(), nil)
	c := ahead(patient)
	patient.Publish(w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "3", "pool/p")}), nil)
	patient.Publish(w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "4", "pool/p")}), nil)
	if cp := checkpoint(t, c.until(resource.Checkpoint)); cp.GetRevision() != 4 {
		t.Errorf("checkpoint %d, want 4", cp.GetRevision())
	}
}

// Two replicas of the same revision are alike: a node that moves gets a checkpoint and nothing else.
func TestReplicaSwitch(t *testing.T) {
	w, a, _ := sample()
	one, two := newReplica(t, w), newReplica(t, w)
	base := w.all()
	one.Publish(base, nil)
	two.Publish(base, nil)
	n := newNode(a).run(t, one, two)
	for i := range 20 {
		ch := w.step([]*snapshot.Resource{put(resource.Route, fmt.Sprintf("route/o/%d", i%3), fmt.Sprint(i), "pool/p")})
		one.Publish(ch, nil)
		two.Publish(ch, nil)
	}
	n.reach(t, w.rev)
	one.stop()
	eventually(t, func() bool { return two.metric(t, "cp_push_acks_total", "Checkpoint") == 1 }, func() string { return "move" })
	if sent := two.metric(t, "cp_push_resources_total", ""); sent != 0 {
		t.Errorf("%v resources sent after the move", sent)
	}
	n.equal(t, w)
}

// A node whose set is not what the checkpoint says asks for everything.
func TestDigestMismatchEndsInAFullView(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	n := newNode(a).run(t, r)
	n.reach(t, 2)
	n.stop()
	// The files agree with themselves, and the replica takes the token for its own: a resource is there
	// under a version that never was.
	n.get(func() {
		n.versions[resource.Route]["route/o/9"] = "AAAAAAAAAAAAAAAA"
		n.content[resource.Route]["route/o/9"] = "never was"
		var d resource.Digest
		for name, version := range n.versions[resource.Route] {
			d.Add(name, version)
		}
		n.cp = proto.CloneOf(n.cp)
		for _, typ := range n.cp.GetTypes() {
			if typ.GetTypeUrl() == resource.Route {
				typ.Count, typ.Digest = uint64(len(n.versions[resource.Route])), d.Bytes()
			}
		}
	})
	ch := w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "new", "pool/p")})
	r.Publish(ch, nil)
	n.run(t, r)
	n.reach(t, ch.Revision)
	n.equal(t, w)
	if got := r.metric(t, "cp_push_resumes_total", "full"); got != 2 {
		t.Errorf("%v full views, want 2", got)
	}
	if got := r.metric(t, "cp_push_nacks_total", "Checkpoint"); got != 1 {
		t.Errorf("%v mismatches, want 1", got)
	}
}

// An error of the handler applies nothing; the same changes come again.
func TestHandlerErrorIsTriedAgain(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	n := newNode(a)
	fails := 3
	n.fail = failTimes(&fails)
	n.run(t, r)
	n.reach(t, 2)
	n.equal(t, w)
	n.get(func() {
		if fails != 0 {
			t.Errorf("%d failures left", fails)
		}
	})
}

func TestClientsThatBreakTheRules(t *testing.T) {
	w, a, b := sample()
	r := newReplica(t, w, func(o *push.Options) { o.AckTimeout = 50 * time.Millisecond })
	r.Publish(w.all(), nil)
	for name, test := range map[string]struct {
		do   func(*raw)
		want codes.Code
	}{
		"another node's name": {func(c *raw) { c.id = b.ID; c.subscribe(resource.Checkpoint) }, codes.PermissionDenied},
		"another node's name later": {func(c *raw) {
			c.subscribe(resource.Route)
			c.id = b.ID
			c.subscribe(resource.Checkpoint)
		}, codes.PermissionDenied},
		"no name": {func(c *raw) { c.id = ""; c.subscribe(resource.Checkpoint) }, codes.InvalidArgument},
		"named resources": {func(c *raw) {
			c.send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: c.id}, TypeUrl: resource.Route, ResourceNamesSubscribe: []string{"route/o/2"}})
		}, codes.InvalidArgument},
		"no type": {func(c *raw) { c.subscribe("") }, codes.InvalidArgument},
		"a flood": {func(c *raw) {
			for i := range 1000 {
				c.subscribe(fmt.Sprint("type", i))
			}
		}, codes.ResourceExhausted},
		"no acknowledgement": {func(c *raw) { c.subscribe(resource.Route, resource.Checkpoint) }, codes.DeadlineExceeded},
		"a transaction refused as a whole": {func(c *raw) {
			c.subscribe(resource.Checkpoint)
			resp := c.recv()
			c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce(), ErrorDetail: refusal(codes.DataLoss)})
		}, codes.Aborted},
		"a type refused": {func(c *raw) {
			c.subscribe(resource.Route, resource.Checkpoint)
			resp := c.recv()
			c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce(), ErrorDetail: refusal(codes.InvalidArgument)})
		}, codes.Aborted},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, r, a)
			test.do(c)
			if code := c.end(); code != test.want {
				t.Errorf("ended with %v, want %v", code, test.want)
			}
		})
	}
	t.Run("a token that is none", func(t *testing.T) {
		c := dial(t, r, a)
		c.subscribe(resource.Route)
		c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: resource.Checkpoint, ResourceNamesSubscribe: []string{"*"}, InitialResourceVersions: map[string]string{resource.TokenKey: "%%%"}})
		if cp := checkpoint(t, c.until(resource.Checkpoint)); len(cp.GetResetTypes()) != 1 {
			t.Errorf("types in full: %v", cp.GetResetTypes())
		}
	})
	t.Run("an unknown type is parked", func(t *testing.T) {
		c := dial(t, r, a)
		c.subscribe("type.googleapis.com/warren.node.v1.FromTheFuture", resource.Route, resource.Checkpoint)
		cp := checkpoint(t, c.until(resource.Checkpoint))
		if len(cp.GetTypes()) != 1 || cp.GetTypes()[0].GetTypeUrl() != resource.Route {
			t.Errorf("checkpoint counts %v", cp.GetTypes())
		}
	})
	t.Run("a certificate of another cluster's node", func(t *testing.T) {
		c := dialAs(t, r, identity.Identity{Cluster: "other", Kind: identity.Node, ID: a.ID})
		c.subscribe(resource.Checkpoint)
		if code := c.end(); code != codes.PermissionDenied {
			t.Errorf("ended with %v", code)
		}
	})
}

// A message that is too large ends the stream that it is on, and a reader that acknowledges nothing, whatever is to be sent
// to it, keeps nobody else waiting.
func TestT23MessagesAreBoundedAndNobodyStarves(t *testing.T) {
	w, a, b := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	well := newNode(b).run(t, r)
	well.reach(t, w.all().Revision)

	c := dial(t, r, a)
	c.send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: c.id}, TypeUrl: resource.Route, ResourceNamesSubscribe: []string{strings.Repeat("x", 3<<20)}})
	if code := c.end(); code != codes.ResourceExhausted {
		t.Errorf("3 MiB to a replica: the stream ends with %v", code)
	}

	mute := dial(t, r, a)
	mute.subscribe(resource.Route, resource.Checkpoint)
	mute.recv() // and says nothing to it
	for i := range 20 {
		r.Publish(w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", strings.Repeat(fmt.Sprint(i), 1<<20), "pool/p")}), nil)
	}
	ch := w.step([]*snapshot.Resource{put(resource.Route, "route/o/2", "small", "pool/q")})
	r.Publish(ch, nil)
	well.reach(t, ch.Revision)
}

// A reader that takes its time gets many changes as one.
func TestSlowReaderCoalesces(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	c := dial(t, r, a)
	c.subscribe(resource.Route, resource.Checkpoint)
	c.until(resource.Checkpoint)
	r.Publish(w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "first", "pool/p")}), nil)
	slow := c.recv()
	for i := range 100 {
		r.Publish(w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", fmt.Sprint(i), "pool/p")}), nil)
	}
	c.ack(slow)
	if cp := checkpoint(t, c.until(resource.Checkpoint)); cp.GetRevision() != 3 {
		t.Errorf("checkpoint %d in the middle of a transaction, want 3", cp.GetRevision())
	}
	resp := c.recv()
	if len(resp.GetResources()) != 1 || string(resp.GetResources()[0].GetResource().GetValue()) != "99" {
		t.Errorf("got %v", resp)
	}
	c.ack(resp)
	if cp := checkpoint(t, c.until(resource.Checkpoint)); cp.GetRevision() != 103 {
		t.Errorf("checkpoint %d, want 103", cp.GetRevision())
	}
}

// A version that was rejected and then replaced and then came back, all while the reader was slow, is not
// sent again.
func TestQuarantineOnAStream(t *testing.T) {
	w, a, _ := sample()
	r := newReplica(t, w)
	r.Publish(w.all(), nil)
	c := dial(t, r, a)
	c.subscribe(resource.Route, resource.Zone, resource.Checkpoint)
	c.until(resource.Checkpoint)
	bad := func() *snapshot.Resource { return put(resource.Route, "route/o/1", "bad", "pool/p") }
	r.Publish(w.step([]*snapshot.Resource{bad()}), nil)
	c.until(resource.Route)
	resp := c.recv()
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: resource.Checkpoint, ResponseNonce: resp.GetNonce(), ErrorDetail: rejection(t, bad())})
	r.Publish(w.step([]*snapshot.Resource{put(resource.Zone, "zone/o/1", "z", "pool/p")}), nil)
	slow := c.recv() // Zone; unanswered
	r.Publish(w.step([]*snapshot.Resource{put(resource.Route, "route/o/1", "good", "pool/p")}), nil)
	r.Publish(w.step([]*snapshot.Resource{bad(), put(resource.Route, "route/o/7", "seven", "pool/p")}), nil)
	c.ack(slow)
	resp = c.recv() // its checkpoint
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: resource.Checkpoint, ResponseNonce: resp.GetNonce(), ErrorDetail: rejection(t, bad())})
	resp = c.recv()
	if len(resp.GetResources()) != 1 || resp.GetResources()[0].GetName() != "route/o/7" {
		t.Errorf("got %v", resp)
	}
	c.ack(resp)
	c.until(resource.Checkpoint)
}
