package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/endpoint"
)

// directory is a name server.
type directory struct {
	mu    sync.Mutex
	names map[string][]netip.Addr // guarded by mu
	asked []time.Duration         // guarded by mu; since the beginning
	start time.Time
	takes time.Duration
}

func newDirectory() *directory {
	return &directory{names: map[string][]netip.Addr{}, start: time.Now()}
}

func (d *directory) set(host string, texts ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names[host] = addrs(texts...)
}

func (d *directory) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	d.asked = append(d.asked, time.Since(d.start))
	has := d.names[host]
	d.mu.Unlock()
	select {
	case <-time.After(d.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(has) == 0 {
		return nil, errors.New("no such host")
	}
	return has, nil
}

// times are those of lookups since this was called last.
func (d *directory) times() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.asked
	d.asked = nil
	return out
}

func run(t *testing.T, n *Names) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { n.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func TestNamesAreLookedUpAsOftenAsWanted(t *testing.T) {
	for wanted, every := range map[time.Duration]time.Duration{20 * time.Second: 20 * time.Second, time.Hour: time.Hour, time.Second: LookSoonest} {
		bubbletest.Run(t, func(t *testing.T) {
			d := newDirectory()
			d.set("edge.example", "192.0.2.1")
			n := NewNames(d.lookup, func(string) {})
			n.Every(wanted)
			n.Apply([]string{"edge.example"})
			run(t, n)
			time.Sleep(2*every + time.Millisecond)
			if got, want := d.times(), []time.Duration{0, every, 2 * every}; !slices.Equal(got, want) {
				t.Errorf("every %v: looked up at %v, want %v", wanted, got, want)
			}
		})
	}
}

func TestNamesAreLookedUpAgainAndAgain(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		d, changes := newDirectory(), new(atomic.Int32)
		d.set("edge.example", "192.0.2.1", "2001:db8::1")
		n := NewNames(d.lookup, func(string) { changes.Add(1) })
		run(t, n)
		is := func(when string, wantChanges int32, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := n.Addrs("edge.example"); !slices.Equal(got, addrs(want...)) || changes.Load() != wantChanges {
				t.Errorf("%s: %v after %d changes; want %v after %d", when, got, changes.Load(), want, wantChanges)
			}
		}
		is("before", 0)
		n.Apply([]string{"edge.example"})
		is("new", 1, "192.0.2.1", "2001:db8::1")
		d.set("edge.example", "2001:db8::1", "192.0.2.1")
		time.Sleep(LookEvery)
		is("the other way round", 1, "192.0.2.1", "2001:db8::1")
		d.set("edge.example", "192.0.2.2")
		n.Apply([]string{"edge.example"}) // is no reason
		is("not yet", 1, "192.0.2.1", "2001:db8::1")
		time.Sleep(LookEvery)
		is("another one", 2, "192.0.2.2")
		d.set("edge.example")
		time.Sleep(LookEvery)
		is("it can't be looked up", 2, "192.0.2.2")
		d.set("edge.example", "192.0.2.3")
		time.Sleep(lookAgain)
		is("it can again", 3, "192.0.2.3")
		s := time.Second
		if got, want := d.times(), []time.Duration{0, 60 * s, 120 * s, 180 * s, 185 * s}; !slices.Equal(got, want) {
			t.Errorf("looked up at %v, want %v", got, want)
		}
		n.Apply(nil)
		time.Sleep(time.Hour)
		if got := d.times(); len(got) != 0 || n.Addrs("edge.example") != nil {
			t.Errorf("a name that is no more is looked up at %v", got)
		}
	})
}

func TestWhoeverAsksIsHeardOnceASecond(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		d := newDirectory()
		d.set("a.example", "192.0.2.1")
		n := NewNames(d.lookup, func(string) {})
		run(t, n)
		n.Apply([]string{"a.example", "b.example"})
		synctest.Wait()
		d.times()
		n.Ask("c.example")
		for range 29 { // nearly three seconds
			n.Ask("a.example")
			time.Sleep(100 * time.Millisecond)
		}
		if got := d.times(); !slices.Equal(got, []time.Duration{time.Second, 2 * time.Second}) {
			t.Errorf("looked up at %v", got)
		}
		time.Sleep(2 * time.Second)
		d.times()
		n.AskAll()
		synctest.Wait()
		if got := d.times(); len(got) != 2 {
			t.Errorf("looked up at %v", got)
		}
	})
}

// A name server that does not answer holds up nobody else, nor the end.
func TestSlowNames(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		d := newDirectory()
		d.takes = time.Minute
		var names []string
		for _, c := range "abcdefghijklmnopqrst" {
			names = append(names, string(c)+".example")
		}
		n := NewNames(d.lookup, func(string) { t.Error("something is known") })
		run(t, n)
		n.Apply(names)
		time.Sleep(3*lookFor - time.Second)
		if got := d.times(); len(got) < len(names) || slices.Max(got) > 2*lookFor {
			t.Errorf("looked up at %v", got)
		}
	})
}

func TestRememberedAddresses(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		d := newDirectory()
		n := network{answers: map[string]time.Duration{"192.0.2.1": 0, "192.0.2.9": 0}}
		dialer := n.dialer()
		dialer.Lookup = Remember(d.lookup)
		to := endpoint.MustParse("edge.example:443")
		got := func(to endpoint.Endpoint) string {
			c, err := dialer.Dial(t.Context(), to)
			if err != nil {
				return err.Error()
			}
			defer c.Close()
			return c.(*connection).to
		}
		for _, step := range []struct {
			has  []string
			to   endpoint.Endpoint
			want string
		}{
			{nil, to, `dial "edge.example:443": no such host`},
			{nil, endpoint.Endpoint{}, `dial "": no address`},
			{nil, endpoint.MustParse("192.0.2.9:443"), "192.0.2.9"},
			{nil, to.Or(netip.MustParseAddr("192.0.2.9")), "192.0.2.9"},
			{[]string{"2001:db8::1", "192.0.2.1"}, to, "192.0.2.1"},
			{nil, to, "192.0.2.1"},
			{nil, to.Or(netip.MustParseAddr("192.0.2.9")), "192.0.2.1"},
		} {
			d.set("edge.example", step.has...)
			if got := got(step.to); got != step.want {
				t.Errorf("%v, %v: %s, want %s", step.has, step.to, got, step.want)
			}
		}
	})
}

func TestLocalhostIsLookedUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	conn, err := Dialer{Lookup: Remember(System)}.Dial(t.Context(), endpoint.MustParse("localhost:"+port))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
