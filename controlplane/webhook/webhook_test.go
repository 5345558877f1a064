package webhook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/outbound"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/queue"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var loopback = outbound.Policy{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// rig is a Deliverer on a real database with organizations a and b.
type rig struct {
	*testing.T
	dsn    string
	db     *store.Store
	sealer *authority.Sealer
	to     *Deliverer
	a, b   *model.Organization
}

func newRig(t *testing.T, p outbound.Policy) *rig {
	t.Helper()
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, dsn: storetest.DSN(t), sealer: sealer, a: &model.Organization{ID: model.OrgID{}.New(), Name: "a"}, b: &model.Organization{ID: model.OrgID{}.New(), Name: "b"}}
	r.db = storetest.Open(t, r.dsn)
	r.to = New(Options{Store: r.db, Opener: sealer, Policy: p, UserAgent: "warren/test", Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()})
	r.write(func(tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(t.Context(), r.a), tx.CreateOrganization(t.Context(), r.b))
	})
	return r
}

func (r *rig) write(fn func(*store.Tx) error) {
	r.Helper()
	if _, err := r.db.Tx(r.Context(), "test", fn); err != nil {
		r.Fatal(err)
	}
}

var key = []byte("0123456789abcdef0123456789abcdef")

func (r *rig) hook(name, url string, org model.OrgID, types ...model.EventType) *model.Webhook {
	r.Helper()
	h := &model.Webhook{ID: model.WebhookID{}.New(), Org: org, Name: name, URL: url, Events: types, Enabled: true}
	var err error
	if h.SealedSecret, err = r.sealer.Seal(key, h.ID.String()); err != nil {
		r.Fatal(err)
	}
	r.write(func(tx *store.Tx) error { return tx.CreateWebhook(r.Context(), h) })
	return h
}

func (r *rig) raise(typ model.EventType, org model.OrgID, once string) (e *model.Event, made bool) {
	r.Helper()
	e, err := model.NewEvent(typ, org, "cert_x", once, model.CertificateEventData{Names: []string{"example.org"}}, time.Now())
	if err != nil {
		r.Fatal(err)
	}
	r.write(func(tx *store.Tx) (err error) { made, err = tx.RaiseEvent(r.Context(), e); return err })
	return e, made
}

func (r *rig) attempts(h *model.Webhook) (out []*model.WebhookAttempt) {
	r.Helper()
	if err := r.db.View(r.Context(), func(tx *store.Tx) (err error) {
		out, err = tx.ListWebhookAttempts(r.Context(), h.ID, 100)
		return err
	}); err != nil {
		r.Fatal(err)
	}
	return out
}

func (r *rig) waits(h *model.Webhook, e *model.Event) (yes bool) {
	r.Helper()
	if err := r.db.View(r.Context(), func(tx *store.Tx) (err error) {
		yes, err = tx.Undelivered(r.Context(), h.ID, e.ID)
		return err
	}); err != nil {
		r.Fatal(err)
	}
	return yes
}

// receiver answers as told and keeps what it verified.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	got  []message
	fail []error
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	t.Helper()
	v, err := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(key))
	if err != nil {
		t.Fatal(err)
	}
	s := &receiver{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m message
		err := errors.Join(v.Verify(body, r.Header), json.Unmarshal(body, &m))
		if m.ID != r.Header.Get("webhook-id") || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
			err = errors.Join(err, errors.New(r.Method+" with id "+m.ID))
		}
		s.mu.Lock()
		s.got, s.fail = append(s.got, m), append(s.fail, err)
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *receiver) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// From an event in a transaction to a verified signature at whoever wants to hear of it, once, through the queue.
func TestEventsReachWhoWantsThem(t *testing.T) {
	r := newRig(t, loopback)
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	all, mine, expiring, others := newReceiver(t, ok), newReceiver(t, ok), newReceiver(t, ok), newReceiver(t, ok)
	r.hook("all", all.URL, model.OrgID{})
	h := r.hook("mine", mine.URL, r.a.ID)
	r.hook("expiring", expiring.URL, r.a.ID, model.CertificateExpiring)
	r.hook("others", others.URL, r.b.ID)
	q, err := queue.New(t.Context(), r.dsn, queue.Options{
		Replica: "a", Log: slog.New(slog.DiscardHandler), Every: time.Hour, Bell: func() {}, Upkeep: func(context.Context) error { return nil }, Deliver: r.to.Deliver,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = q.Run(ctx) })
	defer running.Wait()
	defer cancel()
	e, made := r.raise(model.CertificateIssued, r.a.ID, "1")
	if _, again := r.raise(model.CertificateIssued, r.a.ID, "1"); !made || again {
		t.Errorf("the same event is made once: %v, %v", made, again)
	}
	r.raise(model.CertificateExpiring, r.a.ID, "1")
	for end := time.Now().Add(20 * time.Second); all.count() < 2 || mine.count() < 2 || expiring.count() < 1; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("told: all %d, mine %d, expiring %d", all.count(), mine.count(), expiring.count())
		}
	}
	for end := time.Now().Add(20 * time.Second); r.waits(h, e); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still to be delivered")
		}
	}
	if others.count() != 0 || expiring.count() != 1 || mine.count() != 2 {
		t.Errorf("others %d, expiring %d, mine %d", others.count(), expiring.count(), mine.count())
	}
	for _, s := range []*receiver{all, mine, expiring} {
		for i, err := range s.fail {
			if m := s.got[i]; err != nil || m.Organization != r.a.ID.String() || m.Object != "cert_x" || !strings.Contains(string(m.Data), "example.org") {
				t.Errorf("%+v: %v", m, err)
			}
		}
	}
}

// What a receiver does wrong is written down, and held to what a retry, a last attempt or 410 mean.
func TestAnswers(t *testing.T) {
	r := newRig(t, loopback)
	last := len(model.WebhookRetries) + 1
	for _, tc := range []struct {
		name    string
		answer  http.HandlerFunc
		number  int
		problem string
		again   bool // the queue is to call again
		waits   bool
		enabled bool
	}{
		{"ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks\x1b[31m\x00") }, 1, "", false, false, true},
		{"error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 1, "want a status of 2xx", true, true, true},
		{"error, last", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, last, "want a status of 2xx", false, false, true},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, 1, "redirects are not followed", true, true, true},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, 1, "disabled", false, false, false},
		{"flood", func(w http.ResponseWriter, _ *http.Request) {
			for range 4 << 10 {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return
				}
			}
		}, 1, "", false, false, true},
		{"hang up", func(w http.ResponseWriter, _ *http.Request) {
			c, _, _ := http.NewResponseController(w).Hijack()
			_ = c.Close()
		}, 1, "EOF", true, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newReceiver(t, tc.answer)
			h := r.hook("h"+strings.NewReplacer(" ", "", ",", "").Replace(tc.name), s.URL+"/secret-path", r.b.ID)
			e, _ := r.raise(model.CertificateIssued, r.b.ID, tc.name)
			err := r.to.Deliver(t.Context(), h.ID, e.ID, tc.number)
			if (err != nil) != tc.again {
				t.Errorf("error %v", err)
			}
			got := r.attempts(h)
			if len(got) != 1 || !strings.Contains(got[0].Problem, tc.problem) || tc.problem == "" && got[0].Problem != "" || got[0].Number != tc.number {
				t.Fatalf("%+v", got)
			}
			if strings.Contains(got[0].Problem, "secret-path") || err != nil && strings.Contains(err.Error(), "secret-path") || strings.ContainsAny(got[0].Answer, "\x1b\x00") || len(got[0].Answer) > shown {
				t.Errorf("%+v, %v", got[0], err)
			}
			if r.waits(h, e) != tc.waits {
				t.Errorf("still to be delivered: %v", !tc.waits)
			}
			if now := r.read(h); now.Enabled != tc.enabled {
				t.Errorf("enabled: %v", now.Enabled)
			}
			if r.waits(h, e) {
				return
			}
			before := s.count()
			if err := r.to.Deliver(t.Context(), h.ID, e.ID, tc.number+1); err != nil || s.count() != before {
				t.Errorf("what is over is delivered again: %v", err)
			}
		})
	}
}

func (r *rig) read(h *model.Webhook) (out *model.Webhook) {
	r.Helper()
	if err := r.db.View(r.Context(), func(tx *store.Tx) (err error) { out, err = tx.GetWebhook(r.Context(), h.ID); return err }); err != nil {
		r.Fatal(err)
	}
	return out
}

// Without a word of the operator nothing inside is reached, by address or by name.
func TestNothingInsideIsCalled(t *testing.T) {
	r := newRig(t, outbound.Policy{})
	s := newReceiver(t, func(http.ResponseWriter, *http.Request) {})
	for name, url := range map[string]string{"address": s.URL, "name": strings.Replace(s.URL, "127.0.0.1", "localhost", 1)} {
		h := r.hook(name, url, r.a.ID)
		e, _ := r.raise(model.CertificateFailed, r.a.ID, name)
		if err := r.to.Deliver(t.Context(), h.ID, e.ID, 1); err == nil || !strings.Contains(err.Error(), "is not reached") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.count() != 0 {
		t.Errorf("called %d times", s.count())
	}
}

// A receiver has a few calls at a time and so many events waiting; the log of its calls is bounded.
func TestBounds(t *testing.T) {
	r := newRig(t, loopback)
	release := make(chan struct{})
	s := newReceiver(t, func(http.ResponseWriter, *http.Request) { <-release })
	h := r.hook("slow", s.URL, r.a.ID)
	var calls sync.WaitGroup
	for i := range atOnce {
		e, _ := r.raise(model.CertificateIssued, r.a.ID, string(rune('a'+i)))
		calls.Go(func() {
			if err := r.to.Deliver(t.Context(), h.ID, e.ID, 1); err != nil {
				t.Error(err)
			}
		})
	}
	for s.count() < atOnce {
		time.Sleep(time.Millisecond)
	}
	e, _ := r.raise(model.CertificateIssued, r.a.ID, "z")
	if err := r.to.Deliver(t.Context(), h.ID, e.ID, 1); !errors.Is(err, queue.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	close(release)
	calls.Wait()
	for i := range model.WebhookAttempts + 10 {
		a := &model.WebhookAttempt{Webhook: h.ID, Event: e.ID, Number: i + 1, At: time.Now()}
		r.write(func(tx *store.Tx) error { return tx.AddWebhookAttempt(t.Context(), a, false) })
	}
	if got := r.attempts(h); len(got) != model.WebhookAttempts || got[0].Number != model.WebhookAttempts+10 {
		t.Errorf("%d attempts are remembered, the newest is %d", len(got), got[0].Number)
	}
}
