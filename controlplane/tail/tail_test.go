package tail

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence/presencetest"
)

// What the client of Valkey sleeps on after it was closed ends by itself within a second.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valkey-io/valkey-go.(*call).DelayDo.func1"))
}

func start(t *testing.T, url string) (h *Hub, stop func()) {
	t.Helper()
	h, err := New(url, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return h, stop
}

func all(*model.Request) bool { return true }

func TestWhoWatchesSeesHisOwn(t *testing.T) {
	h, stop := start(t, "")
	org := model.OrgID{}.New()
	if h.Wanted(org) {
		t.Error("watched by nobody")
	}
	tail, err := h.Watch(org, func(r *model.Request) bool { return r.Status >= 500 })
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.Watch(model.OrgID{}.New(), all)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if !h.Wanted(org) {
		t.Error("not watched")
	}
	h.Publish(Batch{Org: org, Requests: []*model.Request{{Org: org, Status: 200}, {Org: org, Status: 502}}, Gaps: []*model.RequestGap{{Org: org, Requests: 7}}})
	if i := <-tail.Items(); i.Request == nil || i.Request.Status != 502 {
		t.Errorf("%+v", i)
	}
	if i := <-tail.Items(); i.Gap == nil || i.Gap.Requests != 7 {
		t.Errorf("%+v", i)
	}
	if n := len(other.Items()); n != 0 {
		t.Errorf("another organization saw %d", n)
	}
	tail.Close()
	tail.Close()
	if _, ok := <-tail.Items(); ok {
		t.Error("not closed")
	}
	stop()
	if _, ok := <-other.Items(); ok {
		t.Error("not closed with the hub")
	}
	if _, err := h.Watch(org, all); fault.Of(err) != fault.Unavailable {
		t.Errorf("after the end: %v", err)
	}
}

func TestWhoIsSlowIsToldWhatHeMissed(t *testing.T) {
	h, _ := start(t, "")
	org := model.OrgID{}.New()
	tail, err := h.Watch(org, all)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	for range room + 3 {
		h.Publish(Batch{Org: org, Requests: []*model.Request{{Org: org}}})
	}
	h.Publish(Batch{Org: org, Gaps: []*model.RequestGap{{Requests: 2}}})
	if n := tail.Dropped(); n != 5 || tail.Dropped() != 0 || testutil.ToFloat64(h.dropped) != 5 {
		t.Errorf("%d dropped, want 5", n)
	}
}

func TestThereAreNoMoreThanSoMany(t *testing.T) {
	h, _ := start(t, "")
	for i := range maxTails + 1 {
		tail, err := h.Watch(model.OrgID{}.New(), all)
		if i == maxTails {
			if fault.Of(err) != fault.Unavailable {
				t.Errorf("one more: %v", err)
			}
			break
		}
		defer tail.Close()
	}
}

func TestReplicasShowEachOther(t *testing.T) {
	server := presencetest.Start(t)
	here, _ := start(t, server.URL())
	there, _ := start(t, server.URL())
	org := model.OrgID{}.New()
	tail, err := here.Watch(org, all)
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Close()
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("the other replica does not hear of it", func() bool { return there.Wanted(org) })
	want := &model.Request{ID: uuid.New(), Org: org, Service: model.ServiceID{}.New(), ServiceName: "wiki", At: time.Unix(1e9, 0).UTC()}
	there.Publish(Batch{Org: org, Requests: make([]*model.Request, 0)})
	there.Publish(Batch{Org: org, Requests: append(repeat(want, chunk), want)})
	for range chunk + 1 {
		select {
		case i := <-tail.Items():
			if i.Request == nil || i.Request.ID != want.ID || i.Request.Service != want.Service || !i.Request.At.Equal(want.At) {
				t.Fatalf("%+v", i.Request)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("nothing arrives")
		}
	}
	server.Kill(t)
	server.Restart(t)
	until("not watched after a restart of the server", func() bool {
		there.Publish(Batch{Org: org, Requests: []*model.Request{want}})
		select {
		case <-tail.Items():
			return true
		default:
			return false
		}
	})
}

func repeat(r *model.Request, n int) (out []*model.Request) {
	for range n {
		out = append(out, r)
	}
	return out
}
