package sni

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/hostname"
)

// clientHello is what crypto/tls sends first when it asks for name.
func clientHello(t testing.TB, name string, change func(*tls.Config)) []byte {
	t.Helper()
	cfg := &tls.Config{ServerName: name, InsecureSkipVerify: true}
	if change != nil {
		change(cfg)
	}
	var out bytes.Buffer
	_ = tls.Client(recorder{out: &out}, cfg).Handshake() // ends at the first read
	if out.Len() == 0 {
		t.Fatalf("no hello for %q", name)
	}
	return out.Bytes()
}

// recorder is a connection that keeps what is written and has nothing to read.
type recorder struct {
	net.Conn
	out *bytes.Buffer
	in  io.Reader
}

func (r recorder) Write(p []byte) (int, error) { return r.out.Write(p) }
func (r recorder) Read(p []byte) (int, error) {
	if r.in == nil {
		return 0, io.EOF
	}
	return r.in.Read(p)
}
func (r recorder) Close() error                     { return nil }
func (r recorder) SetDeadline(time.Time) error      { return nil }
func (r recorder) SetReadDeadline(time.Time) error  { return nil }
func (r recorder) SetWriteDeadline(time.Time) error { return nil }

// rerecord puts the handshake message of a hello in one record into records of size bytes.
func rerecord(hello []byte, size int) []byte {
	var out []byte
	for body := hello[recordHeader:]; len(body) > 0; {
		n := min(size, len(body))
		out = append(out, 22, 3, 1, byte(n>>8), byte(n))
		out = append(out, body[:n]...)
		body = body[n:]
	}
	return out
}

// rawHello builds a hello with the given extensions, each a whole one with its header.
func rawHello(extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0)                // session id
	body = append(body, 0, 2, 0x13, 0x01) // cipher suites
	body = append(body, 1, 0)             // compression methods
	ext := bytes.Join(extensions, nil)    //
	body = binary.BigEndian.AppendUint16(body, uint16(len(ext)))
	body = append(body, ext...)
	return record(append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...))
}

func record(message []byte) []byte {
	return append([]byte{22, 3, 1, byte(len(message) >> 8), byte(len(message))}, message...)
}

func extension(kind uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// nameExtension is a server_name extension with these host names.
func nameExtension(names ...string) []byte {
	var list []byte
	for _, n := range names {
		list = append(list, 0)
		list = binary.BigEndian.AppendUint16(list, uint16(len(n)))
		list = append(list, n...)
	}
	return extension(0, append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...))
}

func TestReadHello(t *testing.T) {
	plain := clientHello(t, "www.example.org", nil)
	long := rerecord(rawHello(nameExtension("www.example.org"), extension(21, make([]byte, 40<<10))), 1<<14)
	tooLong := []byte{22, 3, 1, 0, 5, 1, 0xff, 0, 0, 0}

	for _, tt := range []struct {
		name string
		in   []byte
		want string
		err  reason
	}{
		{"as crypto/tls sends it", plain, "www.example.org", ""},
		{"upper case", clientHello(t, "WWW.Example.ORG", nil), "www.example.org", ""},
		{"TLS 1.2 only", clientHello(t, "a.example", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), "a.example", ""},
		{"records of 1 byte", rerecord(plain, 1), "www.example.org", ""},
		{"records of 7 bytes", rerecord(plain, 7), "www.example.org", ""},
		{"three records, 40 KiB", long, "www.example.org", ""},
		{"unknown extension around the name", rawHello(extension(0x0a0a, nil), nameExtension("a.example"), extension(0x1a1a, []byte{0})), "a.example", ""},
		{"bytes behind the hello", append(bytes.Clone(plain), 20, 3, 3, 0, 1, 1), "www.example.org", ""},
		{"no name", clientHello(t, "", nil), "", reasonNoName},
		{"no extensions", record(append([]byte{1, 0, 0, 41, 3, 3}, append(make([]byte, 32), 0, 0, 2, 0x13, 1, 1, 0)...)), "", reasonNoName},
		{"ECH without an outer name", rawHello(extension(0xfe0d, []byte{0, 0, 1, 0, 1, 7, 0, 0, 0, 1, 0})), "", reasonNoName},
		{"ECH with an outer name", rawHello(extension(0xfe0d, []byte{0, 0, 1, 0, 1, 7, 0, 0, 0, 1, 0}), nameExtension("outer.example")), "outer.example", ""},
		{"IPv4", rawHello(nameExtension("192.0.2.1")), "", reasonBadName},
		{"IPv6", rawHello(nameExtension("2001:db8::1")), "", reasonBadName},
		{"bracketed IPv6", rawHello(nameExtension("[2001:db8::1]")), "", reasonBadName},
		{"trailing dot", rawHello(nameExtension("www.example.org.")), "", reasonBadName},
		{"NUL", rawHello(nameExtension("www.example.org\x00.evil")), "", reasonBadName},
		{"wildcard", rawHello(nameExtension("*.example.org")), "", reasonBadName},
		{"port", rawHello(nameExtension("www.example.org:443")), "", reasonBadName},
		{"255 octets", rawHello(nameExtension(strings.Repeat("a.", 127) + "a")), "", reasonBadName},
		{"empty name", rawHello(nameExtension("")), "", reasonMalformed},
		{"two names", rawHello(nameExtension("a.example", "b.example")), "", reasonMalformed},
		{"two name extensions", rawHello(nameExtension("a.example"), nameExtension("b.example")), "", reasonMalformed},
		{"empty name list", rawHello(extension(0, []byte{0, 0})), "", reasonMalformed},
		{"bytes behind the name list", rawHello(extension(0, append(nameExtension("a.example")[4:], 0))), "", reasonMalformed},
		{"extension longer than the hello", rawHello([]byte{0, 0, 0, 9, 0}), "", reasonMalformed},
		{"record of 0 bytes", append([]byte{22, 3, 1, 0, 0}, plain...), "", reasonMalformed},
		{"record of more than 16 KiB", []byte{22, 3, 1, 0x40, 1}, "", reasonMalformed},
		{"another handshake message", record([]byte{2, 0, 0, 0}), "", reasonMalformed},
		{"two hellos in a record", record(append(bytes.Clone(plain[recordHeader:]), plain[recordHeader:]...)), "", reasonMalformed},
		{"alert inside the hello", append(rerecord(plain, 40)[:45], 21, 3, 1, 0, 2, 1, 0), "", reasonMalformed},
		{"declared longer than 64 KiB", tooLong, "", reasonTooLarge},
		{"64 KiB of tiny records", rerecord(rawHello(nameExtension("a.example"), extension(21, make([]byte, 12<<10))), 1), "", reasonTooLarge},
		{"SSLv2", []byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}, "", reasonNotTLS},
		{"plain HTTP", []byte("GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n"), "", reasonPlainHTTP},
		{"SSH", []byte("\x00\x00SSH-2.0"), "", reasonNotTLS},
		{"nothing", nil, "", reasonGone},
		{"half a hello", plain[:len(plain)/2], "", reasonGone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1, 7, 1 << 20} { // bytes that a read gives
				name, _, read, err := readHello(recorder{out: new(bytes.Buffer), in: &chunks{bytes.Clone(tt.in), size}})
				var r reason
				errors.As(err, &r)
				if name != tt.want || r != tt.err {
					t.Fatalf("reads of %d: got %q, %q, want %q, %q", size, name, r, tt.want, tt.err)
				}
				if err == nil && !bytes.HasPrefix(tt.in, read) {
					t.Fatalf("reads of %d: what was read is not what was sent", size)
				}
			}
		})
	}
}

// chunks gives at most size bytes per read.
type chunks struct {
	b    []byte
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.b[:min(c.size, len(c.b))])
	c.b = c.b[n:]
	return n, nil
}

func TestT10_StalledHelloIsClosed(t *testing.T) {
	hello := clientHello(t, "www.example.org", nil)
	for _, tt := range []struct {
		name  string
		send  func(net.Conn)
		after time.Duration
	}{
		{"no byte", func(net.Conn) {}, firstByteTime},
		{"one byte after 4 s, then nothing", func(c net.Conn) {
			time.Sleep(4 * time.Second) // of the bubble
			_, _ = c.Write(hello[:1])
		}, wholeHelloTime},
		{"a byte each second", func(c net.Conn) {
			for i := range hello {
				if _, err := c.Write(hello[i : i+1]); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, wholeHelloTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				client, server := net.Pipe()
				var wg sync.WaitGroup
				wg.Go(func() { tt.send(client) })
				start := time.Now()
				_, _, _, err := readHello(server)
				if !errors.Is(err, reasonSlow) || time.Since(start) != tt.after {
					t.Errorf("got %v after %v, want %v after %v", err, time.Since(start), reasonSlow, tt.after)
				}
				_, _ = server.Close(), client.Close()
				wg.Wait()
			})
		})
	}
}

// errAsked ends a handshake of crypto/tls as soon as the name is known.
var errAsked = errors.New("asked")

// stockName is the server name that crypto/tls finds in the same bytes, and whether it found a hello.
func stockName(in []byte) (name string, ok bool) {
	conn := recorder{out: new(bytes.Buffer), in: bytes.NewReader(in)}
	srv := tls.Server(conn, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = h.ServerName, true
		return nil, errAsked
	}})
	_ = srv.HandshakeContext(context.Background())
	return name, ok
}

func FuzzSNI(f *testing.F) {
	plain := clientHello(f, "www.example.org", nil)
	f.Add(plain)
	f.Add(rerecord(plain, 7))
	f.Add(clientHello(f, "", nil))
	f.Add(clientHello(f, "UPPER.example", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }))
	f.Add(rawHello(nameExtension("a.example", "b.example")))
	f.Add(rawHello(nameExtension("a.example"), nameExtension("b.example")))
	f.Add(rawHello(nameExtension("a.example."), extension(16, []byte{0, 3, 2, 'h', '2'})))
	f.Add(rawHello(extension(0, []byte{0, 4, 1, 0, 1, 'x'}), extension(0xfe0d, []byte{1})))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		ours, _, read, err := readHello(recorder{out: new(bytes.Buffer), in: bytes.NewReader(in)})
		if !bytes.HasPrefix(in, read) {
			t.Fatal("what was read is not what was sent")
		}
		stock, asked := stockName(in)
		var r reason
		switch {
		case err == nil && asked && !strings.EqualFold(stock, ours) && !sameCanonical(stock, ours):
			t.Fatalf("crypto/tls means %q, we %q", stock, ours)
		case err == nil:
			// crypto/tls also parses extensions that we leave alone; then nobody serves this hello.
		case !errors.As(err, &r):
			t.Fatalf("an error without a reason: %v", err)
		case !asked:
		case r == reasonNoName && stock != "":
			t.Fatalf("crypto/tls found %q, we nothing", stock)
		case r == reasonGone || r == reasonSlow:
			t.Fatalf("crypto/tls found a whole hello, we wait for more")
		}
	})
}

func sameCanonical(stock, ours string) bool {
	c, err := hostname.Canonical(stock)
	return err == nil && c == ours
}
