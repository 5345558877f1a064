package fabric

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// never is a carrier that nobody asks.
type never struct{}

func (never) Dial(context.Context, string, netip.AddrPort) (net.Conn, error) {
	return nil, errors.New("not to be dialled")
}
func (never) Up(string) bool { return false }

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }

func newFabric(c Carrier) *Fabric {
	return New(Carriers{WireGuard: c}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
}

// behaviour is what a candidate of a race does.
type behaviour struct {
	after time.Duration
	err   error
	deaf  bool // connects although it was told to stop
}

// runner makes the attempts of a race and remembers when each was made.
type runner struct {
	began time.Time
	does  map[string]behaviour

	mu      sync.Mutex
	started map[string]time.Duration // guarded by mu until the race is over
	conns   map[string]net.Conn      // likewise; the other end of what was connected
}

func newRunner(does map[string]behaviour) *runner {
	return &runner{began: time.Now(), does: does, started: map[string]time.Duration{}, conns: map[string]net.Conn{}}
}

func (r *runner) try(ctx context.Context, c candidate) (net.Conn, error) {
	r.mu.Lock()
	r.started[c.peer] = time.Since(r.began)
	r.mu.Unlock()
	b := r.does[c.peer]
	if b.deaf {
		time.Sleep(b.after)
	} else {
		select {
		case <-time.After(b.after):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if b.err != nil {
		return nil, b.err
	}
	near, far := net.Pipe()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[c.peer] = far
	return near, nil
}

func (r *runner) closed(peer string) bool {
	_ = r.conns[peer].SetReadDeadline(time.Now().Add(time.Second))
	_, err := r.conns[peer].Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

func peers(ids ...string) (cs []candidate) {
	for _, id := range ids {
		cs = append(cs, candidate{peer: id, carrier: CarrierWireGuard})
	}
	return cs
}

func TestRaceTakesTheFirstAnswer(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		r := newRunner(map[string]behaviour{"a": {after: 10 * time.Millisecond}, "b": {}})
		conn, _, err := newFabric(never{}).race(t.Context(), "s", peers("a", "b"), r.try)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, ok := r.started["b"]; ok {
			t.Error("b was tried although a answered in time")
		}
	})
}

func TestRaceStaggersAndClosesLosers(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		// a is silent; b is slow; c answers first, then a connects although it was told to stop.
		r := newRunner(map[string]behaviour{"a": {after: 600 * time.Millisecond, deaf: true}, "b": {after: time.Hour}, "c": {after: 20 * time.Millisecond}})
		f := newFabric(never{})
		conn, _, err := f.race(t.Context(), "s", peers("a", "b", "c"), r.try)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if r.started["b"] != stagger || r.started["c"] != 2*stagger {
			t.Errorf("started %v, want steps of %v", r.started, stagger)
		}
		if !r.closed("a") {
			t.Error("the connection of a is open")
		}
		go func() { _, _ = conn.Write([]byte("x")) }()
		if _, err := r.conns["c"].Read(make([]byte, 1)); err != nil {
			t.Errorf("the winner's connection: %v", err)
		}
		if !f.late.has("wireguard/a") || !f.late.has("wireguard/b") || f.late.has("wireguard/c") {
			t.Error("a and b kept the dial waiting, c did not: the memory says otherwise")
		}
		time.Sleep(lateTime + time.Millisecond)
		if f.late.has("wireguard/a") {
			t.Error("a is still held for late")
		}
	})
}

func TestRaceGoesOnAtOnceAfterRefusal(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		no := statusError(StatusNoTunnel)
		r := newRunner(map[string]behaviour{"a": {after: time.Millisecond, err: no}, "b": {after: time.Millisecond, err: no}, "c": {after: time.Millisecond}})
		conn, _, err := newFabric(never{}).race(t.Context(), "s", peers("a", "b", "c"), r.try)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if d := time.Since(r.began); d != 3*time.Millisecond {
			t.Errorf("connected after %v, want 3ms", d)
		}
	})
}

// A peer that has refused by one carrier is not asked again by the other; one that has said nothing is.
func TestRaceAsksAPeerOnce(t *testing.T) {
	for _, tt := range []struct {
		err  error
		asks []string
	}{
		{statusError(StatusNotAllowed), []string{"a", "b"}},
		{io.EOF, []string{"a", "a", "b", "b"}},
	} {
		bubbletest.Run(t, func(t *testing.T) {
			var asks []string
			cs := []candidate{{peer: "a", carrier: CarrierStream}, {peer: "a", carrier: CarrierWireGuard}, {peer: "b", carrier: CarrierStream}, {peer: "b", carrier: CarrierWireGuard}}
			_, _, err := newFabric(never{}).race(t.Context(), "s", cs, func(_ context.Context, c candidate) (net.Conn, error) {
				asks = append(asks, c.peer) // one at a time
				return nil, tt.err
			})
			if !errors.Is(err, tt.err) || !slices.Equal(asks, tt.asks) {
				t.Errorf("after %v: asked %v, want %v; %v", tt.err, asks, tt.asks, err)
			}
		})
	}
}

func TestRaceReportsTheClosestAnswer(t *testing.T) {
	for _, tt := range []struct {
		name string
		errs []error
		want Status
	}{
		{"nobody answered", []error{io.EOF, io.EOF, io.EOF}, StatusNoTunnel},
		{"one dialled", []error{statusError(StatusNoTunnel), statusError(StatusDialFailed), statusError(StatusNotAllowed)}, StatusDialFailed},
		{"one refused", []error{statusError(StatusNotAllowed), statusError(StatusBadRequest), io.EOF}, StatusNotAllowed},
		{"an answer of the future", []error{statusError(0x77), io.EOF, io.EOF}, StatusNoTunnel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				r := newRunner(map[string]behaviour{"a": {err: tt.errs[0]}, "b": {err: tt.errs[1]}, "c": {err: tt.errs[2]}})
				_, status, err := newFabric(never{}).race(t.Context(), "s", peers("a", "b", "c"), r.try)
				if err == nil || status != tt.want {
					t.Errorf("status %v, error %v, want %v", status, err, tt.want)
				}
				if !errors.Is(err, tt.errs[0]) {
					t.Errorf("error %v does not hold %v", err, tt.errs[0])
				}
			})
		})
	}
}

func TestRaceEndsWithItsContext(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		r := newRunner(map[string]behaviour{"a": {after: time.Hour}, "b": {after: 700 * time.Millisecond, deaf: true}})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, _, err := newFabric(never{}).race(ctx, "s", peers("a", "b"), r.try)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v", err)
		}
		if !r.closed("b") {
			t.Error("the connection of b, made too late, is open")
		}
	}) // and synctest fails when a goroutine is left
}
