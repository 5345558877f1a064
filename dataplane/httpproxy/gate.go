package httpproxy

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/strict"
)

// errWire is what net/http gets instead of a request that has two readings; it answers with a 400
// and closes the connection.
var errWire = errors.New("ambiguous HTTP/1 message")

// writeTime is how long a client may take none of what it is sent.
const writeTime = 30 * time.Second

// A gate stands between a decrypted HTTP/1 connection and net/http. It lets a strict.Scanner
// follow the messages and withholds the end of a head that others could read differently. Since whatever
// passes has one reading, the gate and net/http always agree on where a message ends.
type gate struct {
	net.Conn
	session *session
	refused func() // called once, when the scanner refuses
	scan    strict.Scanner
	verdict atomic.Int32 // of the scanner: one of the constants below
	begun   atomic.Int64 // heads that have passed
	ended   atomic.Int64 // requests that a handler is done with
	opaque  atomic.Bool  // the connection was upgraded: no longer HTTP
}

const (
	goodSoFar int32 = iota
	badHead         // what is ambiguous begins behind the last whole message
	badBody         // it is in a message whose head has passed
)

// Read gives what has passed. It is called by one goroutine at a time, as net/http promises.
func (g *gate) Read(p []byte) (int, error) {
	if v := g.verdict.Load(); v != goodSoFar {
		return g.end(p, v)
	}
	n, err := g.Conn.Read(p)
	if n == 0 || g.opaque.Load() {
		return n, err
	}
	good := g.scan.Write(p[:n])
	g.begun.Store(g.scan.Heads())
	if good == n {
		return n, err
	}
	v := badHead
	if !g.scan.InHead() {
		v = badBody
	}
	g.verdict.Store(v)
	g.refused()
	if good > 0 {
		return good, nil
	}
	return g.end(p, v)
}

// end gives the error. While an earlier message is not answered net/http reads only to learn whether
// the client is still there; an error would end that message too. It may do so before the handler has
// begun, so what counts is the heads that it was given.
func (g *gate) end(p []byte, v int32) (int, error) {
	for v == badHead && g.begun.Load() > g.ended.Load() {
		if _, err := g.Conn.Read(p); err != nil {
			return 0, err
		}
	}
	return 0, errWire
}

// Write gives the client writeTime for each piece.
func (g *gate) Write(p []byte) (int, error) {
	if err := g.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return g.Conn.Write(p)
}
