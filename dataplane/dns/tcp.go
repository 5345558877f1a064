package dns

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/warrenedge/warren/shared/backoff"
)

// Bounds of TCP (RFC 7766 §6.2).
const (
	maxConns     = 1000
	maxPipelined = 10 // answers held back while further queries are at hand
	maxPending   = 64 << 10
	queryTime    = 2 * time.Second  // from a query's first octet to its last, and to take its answer
	idleTime     = 10 * time.Second // between queries
)

// serveTCP accepts connections until ctx ends or l is closed, then waits for the open ones to end.
func (s *Server) serveTCP(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	connCtx, cancel := context.WithCancel(ctx) // a listener that fails ends its connections too
	defer cancel()
	slots := make(chan struct{}, maxConns)
	retry := backoff.Backoff{Min: time.Millisecond, Max: time.Second}
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept %s: %w", l.Addr(), err)
			}
			s.m.drop(overTCP, dropRead)
			s.complain.Do(func() { s.log.Warn("dns connection can't be accepted", "err", err) })
			if !retry.Wait(ctx) {
				return nil
			}
			continue
		}
		retry.Reset()
		select {
		case slots <- struct{}{}:
		default: // the newest goes: those that are open get what they asked for
			s.m.drop(overTCP, dropConnections)
			conn.Close()
			continue
		}
		s.m.conns.Inc()
		open.Go(func() {
			defer func() { <-slots; s.m.conns.Dec() }()
			s.serveConn(connCtx, conn)
		})
	}
}

// serveConn answers the queries of one connection in order. Answering never waits for anything, so queries
// need no goroutines of their own: those that have arrived whole are answered together.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(past) })
	defer stop()
	r := bufio.NewReaderSize(conn, 2+maxQuery)
	query := make([]byte, maxQuery)
	buf := make([]byte, 2*udpSize)
	var source netip.Addr
	if at, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		source = at.AddrPort().Addr()
	}
	var pending []byte
	for {
		pending = pending[:0]
		for n := 0; n == 0 || n < maxPipelined && len(pending) < maxPending && wholeQuery(r); n++ {
			size, ok := readQuery(ctx, conn, r, query)
			if !ok {
				return
			}
			if size > maxQuery {
				s.m.drop(overTCP, dropMalformed)
				return
			}
			packet := s.handle(query[:size], source, overTCP, buf)
			if packet == nil { // no client does this: nothing is lost with the connection
				return
			}
			pending = binary.BigEndian.AppendUint16(pending, uint16(len(packet)))
			pending = append(pending, packet...)
		}
		conn.SetWriteDeadline(time.Now().Add(queryTime))
		if _, err := conn.Write(pending); err != nil {
			s.m.drop(overTCP, dropWrite)
			return
		}
	}
}

// readQuery waits for a query, and reads it unless it is longer than buf.
func readQuery(ctx context.Context, conn net.Conn, r *bufio.Reader, buf []byte) (size int, ok bool) {
	if !wholeQuery(r) {
		// ctx is looked at after each deadline is set: whichever comes last of that and its end is seen.
		conn.SetReadDeadline(time.Now().Add(idleTime))
		if ctx.Err() != nil {
			return 0, false
		}
		if _, err := r.Peek(1); err != nil {
			return 0, false
		}
		conn.SetReadDeadline(time.Now().Add(queryTime))
		if ctx.Err() != nil {
			return 0, false
		}
	}
	var prefix [2]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return 0, false
	}
	size = int(binary.BigEndian.Uint16(prefix[:]))
	if size > len(buf) {
		return size, true
	}
	_, err := io.ReadFull(r, buf[:size])
	return size, err == nil
}

// wholeQuery reports whether a query can be read without waiting.
func wholeQuery(r *bufio.Reader) bool {
	if r.Buffered() < 2 {
		return false
	}
	prefix, err := r.Peek(2)
	return err == nil && r.Buffered() >= 2+int(binary.BigEndian.Uint16(prefix))
}
