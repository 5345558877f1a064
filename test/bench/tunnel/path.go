package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// A path leads from an outside host to a target. By our nodes it leads by name: each connection begins with a
// ClientHello, on every path alike, and what follows is the bench's. So no path pays for TLS that another doesn't.
type path struct {
	from     *lab.Host
	at       map[int]endpoint // by the target's port
	programs []*lab.Process   // whose processor time counts
}

type endpoint struct {
	addr netip.Addr
	port int
	name string // in the ClientHello
}

// at is a server that listens on the targets' ports itself.
func at(server *lab.Host, name string) map[int]endpoint {
	out := map[int]endpoint{}
	for _, port := range []int{rawPort, webPort} {
		out[port] = endpoint{server.Addr, port, name}
	}
	return out
}

// dial opens a connection to a target's port.
func (p path) dial(ctx context.Context, port int) (net.Conn, error) {
	e := p.at[port]
	c, err := p.from.Dial(ctx, "tcp", netip.AddrPortFrom(e.addr, uint16(e.port)))
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(hello(e.name)); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// answers asks the web target once.
func (p path) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := p.dial(ctx, webPort)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, "GET / HTTP/1.0\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err == nil && len(b) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

var hellos sync.Map // by name

// hello is a real ClientHello for a name, cut off after its one record.
func hello(name string) []byte {
	if b, ok := hellos.Load(name); ok {
		return b.([]byte)
	}
	var r recorder
	_ = tls.Client(&r, &tls.Config{ServerName: name}).Handshake() // ends when it wants an answer
	hellos.Store(name, r.written)
	return r.written
}

// recorder is the end of a connection on which nobody answers.
type recorder struct {
	net.Conn
	written []byte
}

func (r *recorder) Write(b []byte) (int, error) {
	r.written = append(r.written, b...)
	return len(b), nil
}
func (r *recorder) Read([]byte) (int, error)         { return 0, io.EOF }
func (r *recorder) SetDeadline(time.Time) error      { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }
func (r *recorder) Close() error                     { return nil }

// skipHello reads a ClientHello of one record, and nothing behind it.
func skipHello(c net.Conn) error {
	var header [5]byte
	if _, err := io.ReadFull(c, header[:]); err != nil {
		return err
	}
	const handshake = 22
	if header[0] != handshake {
		return fmt.Errorf("record of type %d, want a ClientHello", header[0])
	}
	_, err := io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint16(header[3:])))
	return err
}

// helloListener takes the ClientHello off each connection when it is first read.
type helloListener struct{ net.Listener }

func (l helloListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &behindHello{Conn: c}, nil
}

type behindHello struct {
	net.Conn
	once sync.Once
	err  error
}

func (c *behindHello) Read(b []byte) (int, error) {
	c.once.Do(func() { c.err = skipHello(c.Conn) })
	if c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b)
}

// serve runs the targets: raw bytes, and HTTP behind a ClientHello and without one. They end with their listeners.
func (b *bench) serve(listen func(port int) net.Listener) {
	raw := listen(rawPort)
	go func() {
		for {
			c, err := raw.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			} else if err == nil {
				go serveRaw(c)
			}
		}
	}()
	for _, ln := range []net.Listener{helloListener{listen(webPort)}, listen(appPort)} {
		srv := &http.Server{ReadHeaderTimeout: 30 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "a short answer, as most are\n")
		})}
		go func() { _ = srv.Serve(ln); _ = srv.Close() }()
	}
}

func serveRaw(c net.Conn) {
	defer c.Close()
	if err := skipHello(c); err == nil {
		sendOrTake(c)
	}
}

// Directions of a raw connection, by its first byte. Down is from the site.
const (
	down      byte = 'd'
	up        byte = 'u'
	pacedDown byte = 'p' // as fast as the flood's stream is to be
)

// sendOrTake does at the far end what the first byte asks for: sends until nobody takes it, or takes all and says
// each so many bytes that it has.
func sendOrTake(c net.Conn) {
	var way [1]byte
	if _, err := io.ReadFull(c, way[:]); err != nil {
		return
	}
	switch way[0] {
	case down:
		send(c)
		return
	case pacedDown:
		sendPaced(c, paced)
		return
	}
	buf := make([]byte, 256<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		var said [8]byte
		binary.BigEndian.PutUint64(said[:], uint64(n))
		if _, err := c.Write(said[:]); err != nil {
			return
		}
	}
}

func send(c net.Conn) {
	for buf := make([]byte, 256<<10); ; {
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// sendPaced sends so many bits per second. What could not be sent in its time is sent later, unless that is long ago.
func sendPaced(c net.Conn, rate int) {
	const step, longest = 5 * time.Millisecond, 250 * time.Millisecond
	buf := make([]byte, rate/8/int(time.Second/step))
	for due := time.Now(); ; due = due.Add(step) {
		wait := time.Until(due)
		if wait < -longest {
			due = time.Now()
		}
		time.Sleep(wait)
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// receive reads what arrives in one direction and adds it to count until the connection ends.
func receive(c net.Conn, way byte, count func(int)) {
	if way != up {
		for buf := make([]byte, 256<<10); ; {
			n, err := c.Read(buf)
			count(n)
			if err != nil {
				return
			}
		}
	}
	for {
		var said [8]byte
		if _, err := io.ReadFull(c, said[:]); err != nil {
			return
		}
		count(int(binary.BigEndian.Uint64(said[:])))
	}
}
