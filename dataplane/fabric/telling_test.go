package fabric

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
)

// A stream inside the tunnel to a relay is told of silence behind that, and goes on; one that is not kept is as it was.
func TestTunnelsAreTold(t *testing.T) {
	for name, kept := range map[string]bool{"kept": true, "not kept": false} {
		t.Run(name, func(t *testing.T) {
			entrance := netip.MustParseAddr("127.0.0.1")
			near, far := &loopback{down: map[string]bool{"c1": true}}, &loopback{}
			echo(t, far.at(t, netip.AddrPortFrom(overlay(0xc1), ConnectorPort)), StatusConnected)
			cfg := Config{
				Self: "n2", Nodes: []Node{{ID: "n1", Addr: entrance}, {ID: "n2", Addr: overlay(2)}},
				Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1", Addr: overlay(0xc1)}}, Nodes: []string{"n2"}}},
			}
			relay := newFabric(far)
			relay.Apply(cfg)
			ln := near.at(t, netip.AddrPortFrom(overlay(2), RelayPort))
			serve(t, func(ctx context.Context) error { return relay.ServeRelay(ctx, ln) })
			f := newFabric(near)
			cfg.Self = "n1"
			f.Apply(cfg)

			r := request
			r.Kept = kept
			conn, err := f.DialTarget(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			told := make(chan struct{}, 9)
			conn.(Forsakable).OnForsaken(func() { told <- struct{}{} })
			exchange := func(msg string) {
				t.Helper()
				got := make([]byte, len(msg))
				_, werr := conn.Write([]byte(msg))
				_, rerr := io.ReadFull(conn, got)
				if err := errors.Join(werr, rerr); err != nil || string(got) != msg {
					t.Fatalf("%q came back of %q: %v", got, msg, err)
				}
			}
			exchange("before")
			relay.Silent("c2", CarrierWireGuard)
			relay.Silent("c1", CarrierWireGuard)
			relay.Silent("c1", CarrierWireGuard)
			if kept {
				go func() { _, _ = conn.Write([]byte("beside")) }() // the word comes before it, or after
				got := make([]byte, len("beside"))
				if _, err := io.ReadFull(conn, got); err != nil || string(got) != "beside" {
					t.Fatalf("%q, %v", got, err)
				}
				for len(told) == 0 { // whoever keeps a stream reads it
					exchange("again")
				}
			}
			talk(t, conn)
			if n := len(told); n != 1 && kept || n != 0 && !kept {
				t.Errorf("told %d times", n)
			}
		})
	}
}

// A relay of a version before knows no frames, and is not read as if it did.
func TestToldByOlderRelays(t *testing.T) {
	near := &loopback{}
	headers := echo(t, near.at(t, netip.AddrPortFrom(overlay(2), RelayPort)), StatusConnected)
	f := newFabric(near)
	f.Apply(Config{Self: "n1", Nodes: []Node{{ID: "n1", Addr: overlay(1)}, {ID: "n2", Addr: overlay(2)}}, Sites: []Site{{ID: "s", Nodes: []string{"n2"}}}})
	r := request
	r.Kept = true
	conn, err := f.DialTarget(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if h := <-headers; !h.Kept || !h.Framed {
		t.Errorf("%+v", h)
	}
	talk(t, conn)
}

// What comes in pieces of any size is what was sent.
func TestTellerFrames(t *testing.T) {
	var wire bytes.Buffer
	sender := newTeller(sink{w: &wire})
	var want []byte
	for _, n := range []int{1, 5, 4096, MaxDatagram, MaxDatagram + 1, 200_000} {
		b := bytes.Repeat([]byte{byte(n)}, n)
		want = append(want, b...)
		if k, err := sender.Write(b); k != n || err != nil {
			t.Fatalf("%d of %d, %v", k, n, err)
		}
		sender.say()
	}
	for name, cut := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader} {
		r := newTold(sink{r: cut(bytes.NewReader(wire.Bytes()))})
		calls := 0
		r.OnForsaken(func() { calls++ })
		if got, err := io.ReadAll(iotest.HalfReader(r)); err != nil || !bytes.Equal(got, want) || calls != 1 {
			t.Errorf("%s: %d bytes of %d, %v; told %d times", name, len(got), len(want), err, calls)
		}
	}
	r := newTold(sink{r: bytes.NewReader(wire.Bytes()[:wire.Len()-3])})
	if _, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off: %v", err)
	}
}

// sink is a connection of two halves.
type sink struct {
	net.Conn
	r io.Reader
	w io.Writer
}

func (s sink) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s sink) Write(p []byte) (int, error) { return s.w.Write(p) }

// mute is a carrier that takes connections and answers none, and is down when told so.
type mute struct{ down atomic.Pointer[string] } // a peer

func (m *mute) Up(peer string) bool { return m.down.Load() == nil || *m.down.Load() != peer }

func (m *mute) Dial(context.Context, string, netip.AddrPort) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		_, _ = io.Copy(io.Discard, far)
	}()
	return near, nil
}

// Nobody waits for a peer that has fallen silent meanwhile, if by the carrier that it was asked by.
func TestAttemptsEndWithSilence(t *testing.T) {
	const silentAfter = 600 * time.Millisecond
	for _, tt := range []struct {
		name       string
		silent     string // peer
		stream, wg bool   // whether it is, by each
		want       time.Duration
	}{
		{"by both", "c1", true, true, silentAfter},
		{"by one, and the other has not answered either", "c1", true, false, stagger + attemptTime},
		{"another one", "c2", true, true, stagger + attemptTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				stream, wg := &mute{}, &mute{}
				f := New(Carriers{Stream: stream, WireGuard: wg}, newFabric(never{}).log, newRegistry())
				f.Apply(Config{Self: "n1", Nodes: []Node{{ID: "n1"}}, Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1"}}, Nodes: []string{"n1"}}}})
				time.AfterFunc(silentAfter, func() {
					if tt.stream {
						stream.down.Store(&tt.silent)
					}
					if tt.wg {
						wg.down.Store(&tt.silent)
					}
					f.Silent(tt.silent, CarrierStream, CarrierWireGuard)
				})
				start := time.Now()
				_, err := f.DialTarget(t.Context(), request)
				if took := time.Since(start); took != tt.want || !NoWay(err) {
					t.Errorf("%v after %v, want %v", err, took, tt.want)
				}
				if len(f.attempts.by) != 0 {
					t.Error("an attempt that is over is remembered")
				}
			})
		})
	}
}

// A relay that waits for a connector says at once that there is no way when that has fallen silent, and whoever asked
// goes elsewhere.
func TestRelaySaysThatThereIsNoWay(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		stream, silent := &mute{}, "c1"
		f := New(Carriers{Stream: stream, WireGuard: never{}}, newFabric(never{}).log, newRegistry())
		f.Apply(Config{Self: "n2", Nodes: []Node{{ID: "n1"}, {ID: "n2"}}, Sites: []Site{{ID: "s", Connectors: []Connector{{ID: "c1"}}, Nodes: []string{"n2"}}}})
		near, conn := net.Pipe()
		defer near.Close()
		go func() {
			defer conn.Close()
			f.RelayStream(t.Context(), conn, "n1")
		}()
		b, err := Header{Target: "t", Site: "s", Client: request.Client, Local: request.Local, Hops: 1}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { stream.down.Store(&silent); f.Silent(silent, CarrierStream) })
		start := time.Now()
		_, _ = near.Write(b)
		var status [1]byte
		if _, err := io.ReadFull(near, status[:]); err != nil || Status(status[0]) != StatusNoTunnel || time.Since(start) != time.Second {
			t.Errorf("%v after %v, %v", Status(status[0]), time.Since(start), err)
		}
	})
}
