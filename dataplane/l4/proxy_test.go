package l4

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/porttest"
)

// proxied is a target that reads a PROXY header and answers with what is in it, then echoes the first line.
func proxied(t testing.TB) string {
	t.Helper()
	l := listen(t)
	run(t, func(ctx context.Context) error {
		return fabric.Serve(ctx, l, func(_ context.Context, c net.Conn) {
			r := bufio.NewReader(c)
			h, err := proxyproto.Read(r)
			if err != nil {
				_, _ = fmt.Fprintf(c, "no header: %v\n", err)
				return
			}
			line, _ := r.ReadString('\n')
			_, _ = fmt.Fprintf(c, "v%d %s %s %s", h.Version, h.SourceAddr, h.DestinationAddr, line)
		})
	})
	return l.Addr().String()
}

func TestProxyProtocol(t *testing.T) {
	s := newServer(site(t, map[string]connector.Target{"t": {Address: proxied(t)}}))
	run(t, s.Run)
	port := porttest.Free(t, 1)
	for version := 1; version <= 2; version++ {
		apply(t, s, Forward{Service: "s", FirstPort: port, LastPort: port, Targets: targets("t"), ProxyProtocol: version})
		c := dial(t, "tcp", port)
		say(t, c, "hello\n", fmt.Sprintf("v%d %s %s hello\n", version, c.LocalAddr(), c.RemoteAddr()))
	}
}
