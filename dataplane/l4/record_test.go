package l4

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/shared/porttest"
)

// collected keeps what a request log collects.
type collected struct{ list []requestlog.Record }

func (c *collected) Records(l []requestlog.Record) { c.list = append(c.list, l...) }
func (c *collected) Counted(requestlog.Counted)    {}

// Each connection and each flow is one record, which says what became of it.
func TestRecords(t *testing.T) {
	s := newServer(site(t, map[string]connector.Target{"a": {Address: udpEcho(t, "a"), Network: fabric.UDP}}))
	l, c := requestlog.New(prometheus.NewRegistry()), &collected{}
	l.Consume(c)
	s.requests = l
	run(t, s.Run)
	ports := porttest.Free(t, 4)
	closed := Forward{Service: "closed", FirstPort: ports, LastPort: ports, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Targets: targets("x")}
	away := Forward{Service: "away", FirstPort: ports + 1, LastPort: ports + 1, Targets: targets("x")}
	empty := Forward{Service: "empty", FirstPort: ports + 2, LastPort: ports + 2}
	apply(t, s, closed, away, empty, udpForward("flow", ports+3, "a"))
	next := func(service string) requestlog.Record {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			c.list = nil
			l.Collect()
			if len(c.list) == 1 && c.list[0].Service == service {
				return c.list[0]
			}
			if len(c.list) > 0 {
				t.Fatalf("%+v", c.list)
			}
		}
		t.Fatalf("no record of %s", service)
		return requestlog.Record{}
	}
	for _, tc := range []struct {
		service  string
		port     uint16
		decision requestlog.Decision
		reason   string
		failure  string
	}{
		{"closed", ports, requestlog.Denied, string(reasonNotAllowed), ""},
		{"away", ports + 1, requestlog.Allowed, "", string(reasonDial)},
		{"empty", ports + 2, requestlog.Refused, string(reasonNoTarget), ""},
	} {
		// It may be reset before the client knows that it was accepted.
		if conn, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), tc.port))); err == nil {
			_ = conn.Close()
		}
		if r := next(tc.service); r.Kind != requestlog.TCP || r.Decision != tc.decision || r.Reason != tc.reason || r.Error != tc.failure || r.Site != "" || !r.Client.IsLoopback() || r.At.IsZero() {
			t.Errorf("%s: %+v", tc.service, r)
		}
	}
	ask(t, dial(t, "udp", ports+3), "hello")
	apply(t, s) // the port is closed, and its flows end
	if r := next("flow"); r.Kind != requestlog.UDP || r.Decision != requestlog.Allowed || r.Target != "a" || r.Site != "s" || r.In == 0 || r.Out == 0 || r.Total <= 0 || r.FirstByte <= 0 {
		t.Errorf("%+v", r)
	}
}
