package reach

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func newDialer(dial DialFunc) *Dialer {
	log := slog.New(slog.DiscardHandler)
	return &Dialer{Dial: dial, Health: balance.NewHealth(log, prometheus.NewRegistry()), Log: log}
}

func (d *Dialer) group(ids ...string) *balance.Group {
	var targets []balance.Target
	for _, id := range ids {
		targets = append(targets, balance.Target{ID: id, Site: "site of " + id})
	}
	return balance.NewGroup(targets, d.Health)
}

var errAway = errors.New("away")

func TestEachTargetIsTriedOnce(t *testing.T) {
	var asked []string
	d := newDialer(func(_ context.Context, r fabric.Request) (net.Conn, error) {
		asked = append(asked, r.Target)
		if r.Site != "site of "+r.Target || r.Service != "service" || r.Port != 7 {
			t.Errorf("asked for %+v", r)
		}
		if r.Target == "c" {
			c, _ := net.Pipe()
			return c, nil
		}
		return nil, errAway
	})
	r := fabric.Request{Service: "service", Port: 7}
	for range 20 {
		asked = nil
		c, target, err := d.Any(t.Context(), d.group("a", "b", "c"), r)
		if c == nil || target.ID != "c" || err != nil {
			t.Fatalf("%v, %v", target, err)
		}
		if slices.Sort(asked); len(slices.Compact(asked)) != len(asked) {
			t.Errorf("asked %v", asked)
		}
	}
	if _, _, err := d.Any(t.Context(), d.group("a", "b"), r); !errors.Is(err, errAway) || errors.Is(err, ErrNoTarget) {
		t.Errorf("none connects: %v", err)
	}
	if _, _, err := d.Any(t.Context(), d.group(), r); !errors.Is(err, ErrNoTarget) {
		t.Errorf("none at all: %v", err)
	}
}

// A target that keeps failing is left out for a while; one whose site can't be reached is not to blame.
func TestHealthLearns(t *testing.T) {
	for _, tt := range []struct {
		err  error
		left bool
	}{
		{errAway, true},
		{&fabric.DialError{Status: fabric.StatusDialFailed}, true},
		{&fabric.DialError{Status: fabric.StatusNoTunnel}, false},
	} {
		dials := map[string]int{}
		d := newDialer(func(_ context.Context, r fabric.Request) (net.Conn, error) {
			dials[r.Target]++
			if r.Target == "bad" {
				return nil, tt.err
			}
			c, _ := net.Pipe()
			return c, nil
		})
		g := d.group("bad", "good")
		for range 100 {
			if _, target, err := d.Any(t.Context(), g, fabric.Request{}); target.ID != "good" || err != nil {
				t.Fatalf("%v, %v", target, err)
			}
		}
		if left := dials["bad"] < 10; left != tt.left {
			t.Errorf("%v: asked %d times of 100", tt.err, dials["bad"])
		}
	}
}

func TestTimeIsBounded(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		d := newDialer(func(ctx context.Context, _ fabric.Request) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		if _, _, err := d.Any(t.Context(), d.group("a", "b", "c"), fabric.Request{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != Time {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
