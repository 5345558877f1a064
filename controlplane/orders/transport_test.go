package orders

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// counter is an authority that always answers the same.
type counter struct {
	asked  int
	status int
	after  string
	date   string
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.asked++
	h := http.Header{}
	if c.after != "" {
		h.Set("Retry-After", c.after)
	}
	if c.date != "" {
		h.Set("Date", c.date)
	}
	return &http.Response{StatusCode: c.status, Header: h, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// patientWorld is an issuer with an order in a database, and an authority.
type patientWorld struct {
	*polled
	issuer *model.Issuer
	order  *model.Order
	ca     *counter
}

func newPatientWorld(t *testing.T) *patientWorld {
	t.Helper()
	x := &patientWorld{polled: newPolled(t), ca: &counter{status: http.StatusOK}}
	x.issuer = &model.Issuer{ID: model.IssuerID{}.New(), Name: "i", DirectoryURL: "https://i.example/dir", Rank: 1}
	m := &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: x.org.ID, Names: []string{"p.test"}, KeyType: model.ECDSA, Wanted: true, NextAttempt: x.now}
	x.order = &model.Order{ID: model.OrderID{}.New(), Org: x.org.ID, Managed: m.ID, Issuer: x.issuer.ID, Names: m.Names, KeyType: m.KeyType, Certificate: model.CertificateID{}.New(), NextAttempt: x.now}
	x.write(t, func(ctx context.Context, tx *store.Tx) error {
		err := errors.Join(tx.CreateIssuer(ctx, x.issuer), tx.CreateManagedCertificate(ctx, m))
		if err == nil {
			_, err = tx.CreateOrders(ctx, []*model.Order{x.order}, x.now)
		}
		return err
	})
	return x
}

// replica is the transport of another process.
func (x *patientWorld) replica() patient {
	return patient{x.ca, x.issuer.ID, &pauses{store: x.db, log: slog.New(slog.DiscardHandler)}}
}

func (x *patientWorld) get(ctx context.Context, p patient) error {
	resp, err := p.RoundTrip(httptest.NewRequestWithContext(ctx, http.MethodPost, x.issuer.DirectoryURL, strings.NewReader("{}")))
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}

// What one replica is told holds for the next request of each, whatever it was; the row says it once the answer is there, although whoever asked
// has gone. A long one says nothing of other requests.
func TestRetryAfterHoldsForAllReplicas(t *testing.T) {
	theirs := func(off time.Duration) string { return time.Now().UTC().Add(off).Format(http.TimeFormat) }
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		status int
		after  string
		least  time.Duration // 0: nothing is paused
		date   string
	}{
		{"429", http.StatusTooManyRequests, "300", 300 * time.Second, ""},
		{"429 that does not say how long", http.StatusTooManyRequests, "", 60 * time.Second, ""},
		{"503", http.StatusServiceUnavailable, "300", 300 * time.Second, ""},
		{"503 that does not say how long", http.StatusServiceUnavailable, "", 0, ""},
		{"429 for long", http.StatusTooManyRequests, "3600", 0, ""},
		{"429 that has passed", http.StatusTooManyRequests, "0", 0, ""},
		{"429 by a clock that is ahead", http.StatusTooManyRequests, theirs(day + 300*time.Second), 300 * time.Second, theirs(day)},
		{"429 by a clock that is behind", http.StatusTooManyRequests, theirs(300*time.Second - day), 300 * time.Second, theirs(-day)},
		{"200", http.StatusOK, "300", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newPatientWorld(t)
			told, other := x.replica(), x.replica()
			x.ca.status, x.ca.after, x.ca.date = c.status, c.after, c.date
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			told.next = leaving{x.ca, cancel}
			if err := x.get(ctx, told); err != nil {
				t.Fatal(err)
			}
			x.write(t, func(ctx context.Context, tx *store.Tx) error {
				i, err := tx.GetIssuer(ctx, x.issuer.ID)
				if left := time.Until(i.PausedUntil); err == nil && (i.PausedUntil.IsZero() != (c.least == 0) || c.least > 0 && (left < c.least-time.Minute || left > c.least+time.Second)) {
					t.Errorf("paused for %v, want %v", left, c.least)
				}
				return err
			})
			for _, p := range []patient{told, other} {
				p.next = x.ca
				err := x.get(t.Context(), p)
				if _, refused := errors.AsType[*waiting](err); refused != (c.least > 0) || !refused && err != nil {
					t.Errorf("the next request: %v", err)
				}
			}
			if want := map[bool]int{true: 1, false: 3}[c.least > 0]; x.ca.asked != want {
				t.Errorf("asked %d times, want %d", x.ca.asked, want)
			}
		})
	}
}

// leaving is an authority whose asker has gone when it answers.
type leaving struct {
	http.RoundTripper
	leave func()
}

func (g leaving) RoundTrip(r *http.Request) (*http.Response, error) {
	defer g.leave()
	return g.RoundTripper.RoundTrip(r)
}

// No request is sent for an order that somebody else carries by now, or nobody any more, even if whoever carried it does not know of it yet.
func TestNoRequestWithoutTheLease(t *testing.T) {
	x := newPatientWorld(t)
	p := x.replica()
	claim := func(ttl time.Duration) context.Context {
		t.Helper()
		o, err := x.db.ClaimOrder(t.Context(), "r", ttl, x.now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return context.WithValue(t.Context(), leaseKey{}, lease{o.ID, o.Fence})
	}
	const short = time.Millisecond
	first := claim(short)
	time.Sleep(10 * short)
	if err := x.get(first, p); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("after its end: %v", err)
	}
	second := claim(time.Hour)
	if err := x.get(first, p); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("when another has it: %v", err)
	}
	if err := x.get(second, p); err != nil || x.ca.asked != 1 {
		t.Errorf("who has it: %v, the authority was asked %d times", err, x.ca.asked)
	}
	x.order.Fence = second.Value(leaseKey{}).(lease).fence
	x.order.State, x.order.Finished = model.OrderFailed, x.now
	x.write(t, func(ctx context.Context, tx *store.Tx) error { return tx.WriteOrder(ctx, x.order, false) })
	if err := x.get(second, p); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("when the order is over: %v", err)
	}
	if err := x.get(t.Context(), p); err != nil || x.ca.asked != 2 {
		t.Errorf("for no order: %v, the authority was asked %d times", err, x.ca.asked)
	}
}
