package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/bubbletest"
)

const rows = `
	organization acme
	pool edge
	pool far
	node n1 pool=edge addresses=192.0.2.1 enrolled
	node n2 pool=edge addresses=192.0.2.2,2001:db8::2 enrolled
	node n3 pool=far addresses=192.0.2.3 enrolled
	node new pool=edge addresses=192.0.2.4
	domain example.org organization=acme pool=edge
	domain example.net organization=acme pool=far
	challenge c1 organization=acme order=o type=dns-01 for=example.org value=one
	challenge c2 organization=acme order=o type=dns-01 for=example.org value=two
	challenge c3 organization=acme order=o type=http-01 for=www.example.org token=tok value=tok.three
`

func world(t testing.TB, rows string) (*model.Current, []*model.Challenge) {
	t.Helper()
	b, err := modeltest.Parse(0, rows)
	if err != nil {
		t.Fatal(err)
	}
	cur := model.NewCurrent()
	cur.Set(model.Empty().Apply(b))
	var all []*model.Challenge
	for c := range cur.Get().Challenges() {
		c.Expires = time.Now().Add(model.ChallengeLifetime) // they were just written
		all = append(all, c)
	}
	return cur, all
}

func node(name string) model.NodeID { return model.NodeID{UUID: modeltest.UUID("node", name)} }

// cluster is what a Gate looks at, without sockets.
type cluster struct {
	mu       sync.Mutex
	standing map[model.NodeID]presence.Standing
	says     map[string]error // by address
	asked    map[string]int   // exchanges by address
}

func (c *cluster) Standing(_ time.Time, nodes []model.NodeID, _ model.Revision) map[model.NodeID]presence.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[model.NodeID]presence.Standing{}
	for _, n := range nodes {
		out[n] = c.standing[n]
	}
	return out
}

func (c *cluster) ask(_ context.Context, address string, w want) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[address]++
	return c.says[address]
}

func (c *cluster) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func newGate(t testing.TB, policy Policy) (*Gate, *cluster, []*model.Challenge) {
	cur, all := world(t, rows)
	c := &cluster{standing: map[model.NodeID]presence.Standing{node("n1"): presence.Ready, node("n2"): presence.Ready}, says: map[string]error{}, asked: map[string]int{}}
	g := New(Options{World: cur, Fleet: c, Policy: policy, Log: slog.New(slog.DiscardHandler)})
	g.ask = c.ask
	return g, c, all
}

// Nobody is asked before all have acknowledged; then everybody is, until all answer.
func TestReadyWaits(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		g, c, all := newGate(t, Wait)
		c.standing[node("n2")] = presence.Behind
		c.says["2001:db8::2"] = errors.New("lacks a value")
		time.AfterFunc(2*time.Second, func() { c.set(func() { c.standing[node("n2")] = presence.Ready }) })
		time.AfterFunc(5*time.Second, func() { c.set(func() { delete(c.says, "2001:db8::2") }) })
		var early int
		time.AfterFunc(1999*time.Millisecond, func() { c.set(func() { early = len(c.asked) }) })
		begun := time.Now()
		if err := g.Ready(t.Context(), 1, all); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begun); d < 5*time.Second || d > 5*time.Second+paceMax {
			t.Errorf("ready after %v", d)
		}
		if early > 0 {
			t.Error("nodes were asked before all had acknowledged")
		}
		// Two values at one name are one question; the file is another. Strangers to the pool are not asked.
		if n := c.asked["192.0.2.1"]; n == 0 || n%2 != 0 || c.asked["2001:db8::2"] != n || len(c.asked) != 3 {
			t.Errorf("asked %v", c.asked)
		}
	})
}

func TestNotReadyNamesNodes(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		g, c, all := newGate(t, Wait)
		c.standing[node("n1")] = presence.Behind
		short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := g.Ready(short, 1, all)
		if e, ok := errors.AsType[*NotReady](err); !ok || err.Error() != "n1: has not applied revision 1" || len(e.Missing) != 1 {
			t.Errorf("%v", err)
		}
		// The answer of this replica waits for its own feed, too.
		short, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Ready(short, 2, all); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the rows are read: %v", err)
		}
	})
}

func TestWithdraw(t *testing.T) {
	wrong := errors.New("DNS over UDP: NXDOMAIN for _acme-challenge.example.org.")
	for _, tt := range []struct {
		name          string
		policy        Policy
		standing      presence.Standing
		first, second error // of n2's addresses
		want          string
	}{
		{"all is well", Wait, presence.Ready, nil, nil, ""},
		{"no way from here to one of two addresses", Wait, presence.Ready, nil, errNoWay, ""},
		{"no way from here to any", Wait, presence.Ready, errNoWay, errNoWay, "n2: 192.0.2.2: the control plane has no way to this address"},
		{"silent at one of two addresses", Wait, presence.Ready, nil, errSilent, "n2: 2001:db8::2: does not answer"},
		{"away and silent", Wait, presence.Away, errSilent, errSilent, "n2: is not connected to the control plane, 192.0.2.2: does not answer"},
		{"away and silent, withdrawn", Withdraw, presence.Away, errSilent, errSilent, ""},
		{"away and silent, no way to the other", Withdraw, presence.Away, errSilent, errNoWay, ""},
		// It has lost the control plane and not its clients: an authority that asks it gets a wrong answer.
		{"away and wrong", Withdraw, presence.Away, wrong, errSilent, "n2: is not connected to the control plane, 192.0.2.2: " + wrong.Error()},
		{"away, and answers all the same", Withdraw, presence.Away, nil, nil, ""},
		{"away, silent at one address only", Withdraw, presence.Away, nil, errSilent, ""},
		{"connected and silent", Withdraw, presence.Ready, errSilent, errSilent, "n2: 192.0.2.2: does not answer"},
		{"connected and behind", Withdraw, presence.Behind, nil, nil, "n2: has not applied revision 1"},
	} {
		g, c, all := newGate(t, tt.policy)
		c.standing[node("n2")] = tt.standing
		c.says["192.0.2.2"], c.says["2001:db8::2"] = tt.first, tt.second
		missing, _, err := g.Look(t.Context(), 1, all)
		got := ""
		if len(missing) > 0 {
			got = (&NotReady{missing}).Error()
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
		if e := (&NotReady{missing}); len(missing) > 0 && e.Unserved() != (tt.standing == presence.Ready) {
			t.Errorf("%s: unserved: %v", tt.name, e.Unserved())
		}
	}
}

// When nobody is left to answer, nobody is left out.
func TestSomebodyMustAnswer(t *testing.T) {
	g, c, all := newGate(t, Withdraw)
	c.standing = map[model.NodeID]presence.Standing{node("n1"): presence.Away, node("n2"): presence.Away}
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "2001:db8::2"} {
		c.says[a] = errSilent
	}
	missing, out, err := g.Look(t.Context(), 1, all)
	if err != nil || len(missing) != 2 || len(out) != 0 {
		t.Errorf("%v, %v, %v", missing, out, err)
	}
}

func TestNothingServesTheName(t *testing.T) {
	cur, _ := world(t, rows)
	c := &cluster{standing: map[model.NodeID]presence.Standing{}, asked: map[string]int{}}
	g := New(Options{World: cur, Fleet: c, Log: slog.New(slog.DiscardHandler)})
	g.ask = c.ask
	acme := model.OrgID{UUID: modeltest.UUID("organization", "acme")}
	for _, ch := range []*model.Challenge{{Name: "example.com", Org: acme}, {Name: "example.org", Org: acme.New()}} {
		if err := g.Ready(t.Context(), 1, []*model.Challenge{ch}); err == nil || !strings.Contains(err.Error(), "in no domain") {
			t.Errorf("%s: %v", ch.Name, err)
		}
	}
	next, err := modeltest.Parse(1, "delete node n3")
	if err != nil {
		t.Fatal(err)
	}
	cur.Set(cur.Get().Apply(next))
	if err := g.Ready(t.Context(), 1, []*model.Challenge{{Name: "example.net", Org: acme, Type: model.DNS01}}); err == nil || !strings.Contains(err.Error(), "no node serves example.net") {
		t.Error(err)
	}
	if len(c.asked) > 0 {
		t.Errorf("asked %v", c.asked)
	}
}

// A large pool does not make an endless sentence, and is asked a bounded number of times at once.
func TestLargePool(t *testing.T) {
	var b strings.Builder
	b.WriteString("pool edge\ndomain example.org organization=acme pool=edge\n")
	for i := range 200 {
		fmt.Fprintf(&b, "node n%03d pool=edge addresses=%s enrolled\n", i, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	for i := range 50 {
		fmt.Fprintf(&b, "challenge c%d organization=acme order=o type=dns-01 for=n%d.example.org value=v%d\n", i, i, i)
	}
	cur, all := world(t, b.String())
	c := &cluster{standing: map[model.NodeID]presence.Standing{}}
	for n := range cur.Get().Nodes() {
		c.standing[n.ID] = presence.Ready
	}
	g := New(Options{World: cur, Fleet: c, Log: slog.New(slog.DiscardHandler)})
	var mu sync.Mutex
	now, most, exchanges := 0, 0, 0
	g.ask = func(context.Context, string, want) error {
		mu.Lock()
		now++
		exchanges++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(10 * time.Microsecond)
		mu.Lock()
		now--
		mu.Unlock()
		return errors.New("x")
	}
	missing, _, err := g.Look(t.Context(), 1, all)
	if err != nil || len(missing) != 200 || most > asking || exchanges != 200*50 {
		t.Errorf("%d missing, %d at once, %d exchanges, %v", len(missing), most, exchanges, err)
	}
	if s := (&NotReady{missing}).Error(); len(s) > 400 || !strings.HasSuffix(s, "; and 195 more") {
		t.Error(s)
	}
}
