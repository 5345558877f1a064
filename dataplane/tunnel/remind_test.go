package tunnel

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.zx2c4.com/wireguard/conn"

	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

// noted is a UDP bind that notes what is sent where.
type noted struct {
	conn.Bind
	sent []string
}

func (n *noted) Send(bufs [][]byte, ep conn.Endpoint) error {
	for _, b := range bufs {
		n.sent = append(n.sent, ep.DstToString()+" "+string(b))
	}
	return nil
}

func (n *noted) take() []string {
	sent := n.sent
	n.sent = nil
	slices.Sort(sent)
	return sent
}

// Translators of addresses before nodes of which nothing else is to be said are reminded, and nobody else.
func TestReminders(t *testing.T) {
	udp := &noted{Bind: conn.NewStdNetBind()}
	dial := func(context.Context, string, endpoint.Endpoint) (net.Conn, error) { return nil, net.ErrClosed }
	key, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	b := newBind(udp, key.Public(), dial, slog.New(slog.DiscardHandler), newMetrics(prometheus.NewRegistry(), func() []PeerState { return nil }))
	tls := endpoint.MustParse("192.0.2.9:443")
	at := func(s string) endpoint.Endpoint { return endpoint.MustParse(s) }
	peers := []Peer{
		{ID: "a", Kind: Node, Endpoint: at("192.0.2.1:51820"), TLS: tls, Remind: 25 * time.Second},
		{ID: "b", Kind: Node, Endpoint: at("192.0.2.2:51820"), TLS: tls}, // wants none
		{ID: "c", Kind: Node, Endpoint: at("192.0.2.3:51820"), Remind: 25 * time.Second},
		{ID: "d", Kind: Node, Endpoint: at("192.0.2.4:51820"), TLS: tls, Remind: 60 * time.Second},
	}
	b.apply(peers)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	want := func(what string, want ...string) {
		t.Helper()
		b.remind(now)
		if got := udp.take(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	const a, d = "192.0.2.1:51820 \x00", "192.0.2.4:51820 \x00"
	want("at first", a, d)
	now = now.Add(24 * time.Second)
	want("too early")
	now = now.Add(time.Second)
	want("in time", a)
	now = now.Add(time.Minute)
	want("both", a, d)
	now = now.Add(-time.Hour)
	want("a clock has gone back", a, d)

	moved, err := b.ParseEndpoint("192.0.2.1:51820")
	if err != nil {
		t.Fatal(err)
	}
	now = time.Now().Add(24 * time.Second)
	if err := b.Send([][]byte{{4, 0, 0, 0}}, moved); err != nil {
		t.Fatal(err)
	}
	udp.take()
	want("one of them was spoken to", d)
	peers[3].Endpoint = at("192.0.2.5:51820")
	b.apply(peers)
	now = now.Add(time.Minute)
	want("it is elsewhere", a, "192.0.2.5:51820 \x00")
	b.apply(nil)
	now = now.Add(time.Minute)
	want("they are gone")
}

// What reminds is nothing to the node: no garbage is counted, and WireGuard does not see it.
func TestReminderIsDropped(t *testing.T) {
	key, err := wgkey.New()
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics(prometheus.NewRegistry(), func() []PeerState { return nil })
	b := newBind(conn.NewStdNetBind(), key.Public(), nil, slog.New(slog.DiscardHandler), m)
	from := &conn.StdNetEndpoint{AddrPort: netip.MustParseAddrPort("192.0.2.1:7")}
	if b.gate.pass(reminder, from, time.Now()) {
		t.Error("it goes to WireGuard")
	}
	for why := range m.refused {
		if n := counter(t, m.refused[why]); n != 0 {
			t.Errorf("%v counted as %s", n, refusal(why))
		}
	}
}
