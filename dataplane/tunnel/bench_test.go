package tunnel

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/warrenedge/warren/dataplane/fabric"
)

// BenchmarkNetstackDown is the direction in which services send: from a connector to a node, one stream,
// both ends in this process on TCP stacks of their own.
func BenchmarkNetstackDown(b *testing.B) {
	node, connector := pair(b)
	ln, err := connector.Listen(b.Context(), fabric.ConnectorPort)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		done <- fabric.Serve(ctx, ln, func(_ context.Context, c net.Conn) {
			for buf := make([]byte, 64<<10); ; {
				if _, err := c.Write(buf); err != nil {
					return
				}
			}
		})
	}()
	defer func() { cancel(); <-done }()
	conn, err := node.DialContext(b.Context(), netip.AddrPortFrom(connector.addr, fabric.ConnectorPort))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	const size = 1 << 20
	b.SetBytes(size)
	for b.Loop() {
		if _, err := io.CopyN(io.Discard, conn, size); err != nil {
			b.Fatal(err)
		}
	}
}
