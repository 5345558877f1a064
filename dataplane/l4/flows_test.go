package l4

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// len is how many flows there are, and of how many sources.
func (t *flows) len() (flows, sources int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID), len(t.bySource)
}

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// table is flows with names for clients "source/port".
type table struct {
	*flows
	now time.Time
}

func (t *table) id(client string) flowID { return flowID{client: netip.MustParseAddrPort(client)} }

func (t *table) begin(client string) (gone string) {
	t.now = t.now.Add(time.Second)
	if f := t.add(&flow{id: t.id(client)}, t.now); f != nil {
		return f.id.client.String()
	}
	return ""
}

func (t *table) talk(client string) {
	t.now = t.now.Add(time.Second)
	f := t.sent(t.id(client), t.now)
	t.answered(f, t.now)
	t.sent(t.id(client), t.now)
}

func clientsOf(fs []*flow) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.id.client.String())
	}
	slices.Sort(out)
	return out
}

func TestWhoHasToGo(t *testing.T) {
	tab := &table{newFlows(2, 4), start}
	for _, c := range []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"} {
		if gone := tab.begin(c); gone != "" {
			t.Errorf("%s pushed out %s", c, gone)
		}
	}
	tab.talk("10.0.0.1:1") // proven
	tab.sent(tab.id("10.0.0.2:1"), tab.now.Add(time.Second))
	steps := []struct{ begin, gone string }{
		{"10.0.0.4:1", ""},
		{"10.0.0.5:1", "10.0.0.3:1"}, // not 1, which is proven, nor 2, which sent something since
		{"10.0.0.5:2", "10.0.0.2:1"},
		{"10.0.0.5:3", "10.0.0.5:1"}, // of its own source
		{"10.0.0.6:1", "10.0.0.4:1"},
		{"10.0.0.7:1", "10.0.0.5:2"},
		{"10.0.0.8:1", "10.0.0.5:3"},
	}
	for _, st := range steps {
		if gone := tab.begin(st.begin); gone != st.gone {
			t.Errorf("%s pushed out %q, want %q", st.begin, gone, st.gone)
		}
		if n, _ := tab.len(); n > 4 {
			t.Errorf("%d flows", n)
		}
	}
	for _, c := range []string{"10.0.0.6:1", "10.0.0.7:1", "10.0.0.8:1"} {
		tab.talk(c)
	}
	if gone := tab.begin("10.0.0.9:1"); gone != "10.0.0.1:1" { // all are proven
		t.Errorf("pushed out %q", gone)
	}
}

func TestSourcesOfIPv6(t *testing.T) {
	tab := &table{newFlows(1, 10), start}
	tab.begin("[2001:db8::1]:1")
	if gone := tab.begin("[2001:db8::2]:1"); gone != "[2001:db8::1]:1" {
		t.Errorf("of one /64: pushed out %q", gone)
	}
	if gone := tab.begin("[2001:db8:0:1::1]:1"); gone != "" {
		t.Errorf("of two /64: pushed out %q", gone)
	}
}

func TestIdleFlowsExpire(t *testing.T) {
	tab := &table{newFlows(10, 10), start}
	tab.begin("10.0.0.1:1") // at 1 s
	tab.begin("10.0.0.1:2") // at 2 s
	tab.begin("10.0.0.2:1") // at 3 s
	tab.talk("10.0.0.1:1")  // at 4 s
	for _, st := range []struct {
		at   time.Duration
		want []string
	}{
		{61 * time.Second, nil},
		{62 * time.Second, []string{"10.0.0.1:2"}},
		{63*time.Second - 1, nil},
		{70 * time.Second, []string{"10.0.0.1:1", "10.0.0.2:1"}},
		{time.Hour, nil},
	} {
		if got := clientsOf(tab.expire(start.Add(st.at))); !slices.Equal(got, st.want) {
			t.Errorf("after %v: %v, want %v", st.at, got, st.want)
		}
	}
	if n, sources := tab.len(); n != 0 || sources != 0 || tab.strange.Len() != 0 || tab.proven.Len() != 0 {
		t.Errorf("%d flows of %d sources are left", n, sources)
	}
}

func TestFlowThatIsGone(t *testing.T) {
	tab := &table{newFlows(10, 10), start}
	tab.begin("10.0.0.1:1")
	f := tab.sent(tab.id("10.0.0.1:1"), tab.now)
	if !tab.remove(f) || tab.remove(f) {
		t.Error("a flow is removed once")
	}
	if tab.connected(f, "a") {
		t.Error("connected after it was removed")
	}
	tab.answered(f, tab.now)
	if tab.sent(tab.id("10.0.0.1:1"), tab.now) != nil {
		t.Error("found after it was removed")
	}
	tab.begin("10.0.0.1:1") // another one of the same name
	if tab.remove(f) {
		t.Error("the first one took the second one with it")
	}
}
