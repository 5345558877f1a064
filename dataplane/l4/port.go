package l4

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/dataplane/udp"
)

// port is an open port: one listener or socket, served by one goroutine.
type port struct {
	key      key
	listener net.Listener // of TCP
	socket   *udp.Socket  // of UDP

	forward *forward           // guarded by Server.mu; nil once the port is closed
	conns   map[*conn]struct{} // guarded by Server.mu
}

// conn is an accepted TCP connection.
type conn struct {
	service string
	tenant  *inbound.Tenant
	client  netip.Addr
	cut     context.CancelFunc
	timer   *time.Timer // guarded by Server.mu; set when its service has gone
}

// drain cuts the connection after drainTime. Server.mu is held.
func (c *conn) drain() {
	if c.timer == nil {
		c.timer = time.AfterFunc(drainTime, c.cut)
	}
}

// open opens a port.
func (s *Server) open(k key) (*port, error) {
	p := &port{key: k, conns: map[*conn]struct{}{}}
	address := net.JoinHostPort(s.host, strconv.Itoa(int(k.port)))
	var err error
	if k.network == fabric.UDP {
		var pc net.PacketConn
		if pc, err = net.ListenPacket("udp", address); err == nil {
			if p.socket, err = udp.NewSocket(pc); err != nil {
				_ = pc.Close()
			}
		}
	} else {
		p.listener, err = net.Listen("tcp", address)
	}
	if err != nil {
		return nil, openError(k, err)
	}
	return p, nil
}

// close closes the port, and with it whoever serves it.
func (p *port) close() {
	if p.listener != nil {
		_ = p.listener.Close()
	}
	if p.socket != nil {
		_ = p.socket.Close()
	}
}

// openError says in an operator's words why a port can't be opened.
func openError(k key, err error) error {
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return fmt.Errorf("%s: %w", k, err)
	}
	if errno == syscall.EACCES && k.port < 1024 {
		return fmt.Errorf("%s: %w: ports below 1024 need CAP_NET_BIND_SERVICE", k, errno)
	}
	return fmt.Errorf("%s: %w", k, errno)
}

// tooManyError refuses a range.
type tooManyError struct{ ports, room, most int }

func (e *tooManyError) Error() string {
	return fmt.Sprintf("%d ports, of the %d that this process may open %d are left: a %dth of its files, so raise their limit (LimitNOFILE, ulimit -n)", e.ports, e.most, e.room, filesPerPort)
}

// takenError refuses a port that two services ask for.
type takenError struct {
	key     key
	service string
}

func (e *takenError) Error() string { return fmt.Sprintf("%s is one of service %s", e.key, e.service) }

// moreError is what is left out of a list of errors.
type moreError struct {
	error
	more int
}

func (e *moreError) Error() string { return fmt.Sprintf("%v\nand %d more", e.error, e.more) }

func (e *moreError) Unwrap() error { return e.error }
