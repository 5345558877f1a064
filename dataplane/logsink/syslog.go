package logsink

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/warrenedge/warren/dataplane/requestlog"
)

// maxDatagram bounds a message over UDP (RFC 5426 §3.2: what every path carries is less, what receivers take is about that).
const maxDatagram = 2048

// syslog sends messages of RFC 5424: over TCP and TLS counted (RFC 6587 §3.4.1, RFC 5425), over UDP one a datagram (RFC 5426).
type syslog struct {
	scheme, address, host, node string
	conn                        net.Conn // nil: none
}

func newSyslog(c Config, node string) *syslog {
	u, _ := url.Parse(c.URL) // it is valid
	host, _ := os.Hostname() // "": it has none
	return &syslog{scheme: u.Scheme, address: u.Host, host: header(host, 255), node: node}
}

func (s *syslog) close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

func (s *syslog) dial(ctx context.Context) (net.Conn, error) {
	if s.scheme == "tls" {
		return (&tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", s.address)
	}
	return (&net.Dialer{}).DialContext(ctx, s.scheme, s.address)
}

func (s *syslog) send(ctx context.Context, list []requestlog.Record) (err error) {
	if s.conn == nil {
		if s.conn, err = s.dial(ctx); err != nil {
			s.conn = nil
			return err
		}
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if s.scheme == "udp" {
		for i := range list {
			m := s.message(&list[i])
			if _, err := s.conn.Write(m[:min(len(m), maxDatagram)]); err != nil {
				return err
			}
		}
		return nil
	}
	w := bufio.NewWriter(s.conn)
	for i := range list {
		m := s.message(&list[i])
		fmt.Fprintf(w, "%d ", len(m)) // Flush says what went wrong
		_, _ = w.Write(m)
	}
	return w.Flush()
}

// message is a record as RFC 5424 §6 has it: what there is to say is in its structured data, under the name of an example
// enterprise, and in words behind it.
func (s *syslog) message(r *requestlog.Record) []byte {
	const local0, info, err = 16, 6, 3
	severity := info
	if failing(r) {
		severity = err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<%d>1 %s %s warren-node %d request [request@32473", local0*8+severity, r.At.UTC().Format("2006-01-02T15:04:05.000000Z"), s.host, os.Getpid())
	for _, f := range fields(r, s.node) {
		value := f.text
		if value == "" {
			value = fmt.Sprint(f.number)
		}
		b.WriteString(" " + f.name + `="` + escape.Replace(strings.Map(printable, value)) + `"`)
	}
	fmt.Fprintf(&b, "] %s %s%s %d %s", strings.Map(printable, r.Method), strings.Map(printable, r.Host), strings.Map(printable, strings.ToValidUTF8(r.Path, "")), r.Status, r.Total.Round(time.Microsecond))
	return []byte(b.String())
}

// escape is that of RFC 5424 §6.3.3.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `]`, `\]`)

func printable(c rune) rune {
	if c < ' ' || c == 0x7f {
		return '?'
	}
	return c
}

// header is text of printable ASCII, or "-".
func header(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' {
			return -1
		}
		return c
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
