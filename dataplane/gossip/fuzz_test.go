package gossip

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Bytes of strangers on both ports; memberlist must not panic.
func FuzzPorts(f *testing.F) {
	for _, b := range [][]byte{{}, {0}, {10, 0, 0, 0, 1, 0}, {10, 0xff, 0xff, 0xff, 0xff}, {244, 5, 'l', 'a', 'b', 'e', 'l'}, {12, 0, 0, 0, 0, 7, 0xff}} {
		f.Add(b)
	}
	udp, tcp, at := listen(f, netip.AddrPort{})
	node := &real{udp: udp, tcp: tcp, cfg: Config{Self: "node_0", Endpoint: at, Keys: ringOf("a")}}
	node.start(f)
	packets, err := net.Dial("udp", at.String())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = packets.Close() })
	eventually(f, "started", func() bool { return testutil.ToFloat64(node.m.restarts) == 1 })
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = packets.Write(b)
		conn, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = conn.Write(b)
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn) // until it is closed
	})
}
