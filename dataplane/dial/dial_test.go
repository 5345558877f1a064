package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

func TestOrder(t *testing.T) {
	for _, tc := range []struct{ have, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"192.0.2.1 192.0.2.2 192.0.2.1 ::ffff:192.0.2.2", "192.0.2.1 192.0.2.2"},
		{"2001:db8::1 2001:db8::2 2001:db8::3 192.0.2.1", "2001:db8::1 192.0.2.1 2001:db8::2 2001:db8::3"},
		{"192.0.2.1 192.0.2.2 2001:db8::1", "192.0.2.1 2001:db8::1 192.0.2.2"},
	} {
		if got := order(addrs(strings.Fields(tc.have)...)); !slices.Equal(got, addrs(strings.Fields(tc.want)...)) {
			t.Errorf("%s: %v, want %s", tc.have, got, tc.want)
		}
	}
}

// network is what a Dialer is in: names, and what becomes of who connects to an address.
type network struct {
	names   map[string][]netip.Addr
	refuses map[string]bool // the others swallow what is sent to them
	answers map[string]time.Duration

	mu    sync.Mutex
	tried []string // guarded by mu
	open  int      // guarded by mu
}

type connection struct {
	net.Conn
	n  *network
	to string
}

func (c *connection) Close() error { c.n.count(-1); return nil }

func (n *network) count(by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open += by
}

func (n *network) try(at string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried = append(n.tried, at)
}

func (n *network) dialer() Dialer {
	return Dialer{
		Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
			if a, ok := n.names[host]; ok {
				return a, nil
			}
			return nil, errors.New("no such host")
		},
		Connect: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			at := to.Addr().String()
			n.try(at)
			after, ok := n.answers[at]
			switch {
			case n.refuses[at]:
				return nil, fmt.Errorf("%s refuses", at)
			case !ok:
				<-ctx.Done()
				return nil, fmt.Errorf("%s: %w", at, ctx.Err())
			}
			time.Sleep(after)
			n.count(1)
			return &connection{n: n, to: at}, nil
		},
	}
}

func TestEveryAddressIsTried(t *testing.T) {
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprintf("192.0.2.%d", i+1))
	}
	for name, tc := range map[string]struct {
		addrs, refuses []string
		answers        map[string]time.Duration
		got            string
		took           time.Duration
	}{
		"the first one":           {[]string{"192.0.2.1", "192.0.2.2"}, nil, map[string]time.Duration{"192.0.2.1": 0, "192.0.2.2": 0}, "192.0.2.1", 0},
		"the first one is silent": {[]string{"192.0.2.1", "192.0.2.2"}, nil, map[string]time.Duration{"192.0.2.2": 0}, "192.0.2.2", nextAfter},
		"one family is silent":    {[]string{"2001:db8::1", "2001:db8::2", "192.0.2.2"}, nil, map[string]time.Duration{"192.0.2.2": 0}, "192.0.2.2", nextAfter},
		"refused is not waited for": {
			[]string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, []string{"192.0.2.1", "192.0.2.2"}, map[string]time.Duration{"192.0.2.3": 0}, "192.0.2.3", 0,
		},
		"the last of twenty":          {many, nil, map[string]time.Duration{"192.0.2.20": 0}, "192.0.2.20", 19 * nextAfter},
		"slow is better than silent":  {[]string{"192.0.2.1", "192.0.2.2"}, nil, map[string]time.Duration{"192.0.2.1": 9 * time.Second}, "192.0.2.1", 9 * time.Second},
		"the second overtakes a slow": {[]string{"192.0.2.1", "192.0.2.2"}, nil, map[string]time.Duration{"192.0.2.1": 2 * time.Second, "192.0.2.2": time.Second}, "192.0.2.2", 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				n := &network{names: map[string][]netip.Addr{"c.example": addrs(tc.addrs...)}, refuses: map[string]bool{}, answers: tc.answers}
				for _, a := range tc.refuses {
					n.refuses[a] = true
				}
				since := time.Now()
				conn, err := n.dialer().DialContext(t.Context(), "c.example:8443")
				if err != nil {
					t.Fatal(err)
				}
				if got := conn.(*connection).to; got != tc.got || time.Since(since) != tc.took {
					t.Errorf("%s after %v, want %s after %v; tried %v", got, time.Since(since), tc.got, tc.took, n.tried)
				}
				if n.open != 1 {
					t.Errorf("%d connections are left open", n.open)
				}
			})
		})
	}
}

func TestNamesAreLookedUpEachTime(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		n := &network{names: map[string][]netip.Addr{"c.example": addrs("192.0.2.1")}, refuses: map[string]bool{}, answers: map[string]time.Duration{"192.0.2.1": 0}}
		d := n.dialer()
		for _, want := range []string{"192.0.2.1", "192.0.2.7", "2001:db8::7"} {
			n.names["c.example"] = addrs(want)
			n.answers = map[string]time.Duration{want: 0}
			conn, err := d.DialContext(t.Context(), "c.example:8443")
			if err != nil || conn.(*connection).to != want {
				t.Errorf("%v, %v; want %s", conn, err, want)
			}
		}
	})
}

func TestErrorsNameWhatWasTried(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		n := &network{
			names:   map[string][]netip.Addr{"c.example": addrs("192.0.2.1", "192.0.2.2"), "empty.example": nil},
			refuses: map[string]bool{"192.0.2.1": true},
		}
		for address, says := range map[string][]string{
			"c.example:8443":     {"dial c.example:8443", "192.0.2.1 refuses", "192.0.2.2: context deadline exceeded"},
			"empty.example:8443": {"dial empty.example:8443", "no addresses"},
			"other.example:8443": {"dial other.example:8443", "no such host"},
			"c.example":          {`dial "c.example"`, "missing port"},
			"192.0.2.1:8443":     {"192.0.2.1 refuses"},
		} {
			_, err := n.dialer().DialContext(t.Context(), address)
			for _, s := range says {
				if err == nil || !strings.Contains(err.Error(), s) {
					t.Errorf("%s: %v, want %q", address, err, s)
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.dialer().DialContext(ctx, "c.example:8443"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// What the system calls a port is asked outside of bubbles: what its resolver makes once belongs to the first that asks.
func TestPortThatIsNone(t *testing.T) {
	if _, err := new(network).dialer().DialContext(t.Context(), "c.example:nonsense"); err == nil || !strings.Contains(err.Error(), `dial "c.example:nonsense"`) {
		t.Errorf("%v", err)
	}
}

func TestTheSystemsWay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	conn, err := Dialer{}.DialContext(t.Context(), net.JoinHostPort("localhost", port)) // perhaps ::1 first, where nobody listens
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}
