package sni

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
)

// conn is an accepted connection with the bytes of its ClientHello still to be read.
type conn struct {
	net.Conn
	vouch   func()             // gives back the place among those of one client
	release func(vouched bool) // gives back the place under the caps

	mu      sync.Mutex
	hold    []byte // guarded by mu; read from the client, not yet by our reader
	vouched bool   // guarded by mu
	closed  bool   // guarded by mu

	tenant *inbound.Tenant // guarded by mu; that it is counted for; nil: nobody
}

// count counts the connection for whose service it is. Whom it is one too many for it is reset, which costs us least.
func (c *conn) count(t *inbound.Tenant) error {
	switch err := t.Enter(time.Now()); {
	case err == nil:
	case errors.Is(err, inbound.ErrQuota):
		inbound.Reset(c.Conn)
		return reasonQuota
	default:
		inbound.Reset(c.Conn)
		return reasonShare
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tenant = t
	return nil
}

// Vouch says that the client has proved who it is: the connection no longer counts among the few that
// one address may have. Whoever calls this bounds them otherwise.
func (c *conn) Vouch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.vouched && !c.closed {
		c.vouched = true
		c.vouch()
	}
}

// NetConn gives the connection below, for those who want to look at its socket.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Read gives the ClientHello first. Only one reader is ever at work, but a deadline may interrupt
// it and another follow, hence the lock.
func (c *conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if len(c.hold) > 0 {
		n := copy(p, c.hold)
		if c.hold = c.hold[n:]; len(c.hold) == 0 {
			c.hold = nil // the hello's memory, for as long as the connection lives
		}
		c.mu.Unlock()
		return n, nil
	}
	c.mu.Unlock()
	return c.Conn.Read(p)
}

// CloseWrite closes one half, where the transport can.
func (c *conn) CloseWrite() error { return fabric.CloseWrite(c.Conn) }

// Close closes the connection.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.tenant.Leave()
		c.release(c.vouched)
	}
	return err
}
