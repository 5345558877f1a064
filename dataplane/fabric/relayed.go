package fabric

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// relays knows the streams that go through other nodes, to end them when such a node is gone: it tells
// nobody, and TCP would try for minutes.
type relays struct {
	mu      sync.Mutex
	streams map[string]map[*relayed]struct{} // guarded by mu; by node
}

// relayed is a stream through another node.
type relayed struct {
	net.Conn
	node string
	of   *relays
}

func (r *relays) add(node string, c net.Conn) *relayed {
	s := &relayed{Conn: c, node: node, of: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams == nil {
		r.streams = map[string]map[*relayed]struct{}{}
	}
	if r.streams[node] == nil {
		r.streams[node] = map[*relayed]struct{}{}
	}
	r.streams[node][s] = struct{}{}
	return s
}

func (r *relays) remove(s *relayed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.streams[s.node], s)
	if len(r.streams[s.node]) == 0 {
		delete(r.streams, s.node)
	}
}

// take forgets the streams through a node and returns them.
func (r *relays) take(node string) map[*relayed]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	streams := r.streams[node]
	delete(r.streams, node)
	return streams
}

// Cut ends every stream that goes through another node, which is known to be dead: whoever waits for an
// answer learns it now, and may ask again on another way. Streams of a node that is only not heard of
// should be left: its TCP may outlast the silence.
func (f *Fabric) Cut(node string) {
	streams := f.relays.take(node)
	for s := range streams {
		_ = s.Conn.Close()
	}
	if len(streams) > 0 {
		f.log.Info("streams through a dead node ended", "node", node, "streams", len(streams))
	}
}

// Close implements net.Conn.
func (s *relayed) Close() error {
	s.of.remove(s)
	return s.Conn.Close()
}

// WriteTo implements io.WriterTo by what the connection below has for it, and so with its buffers.
func (s *relayed) WriteTo(dst io.Writer) (int64, error) { return io.Copy(dst, s.Conn) }

// ReadFrom implements io.ReaderFrom likewise.
func (s *relayed) ReadFrom(src io.Reader) (int64, error) { return io.Copy(s.Conn, src) }

// CloseWrite ends one direction.
func (s *relayed) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return s.Conn.Close()
}

// OnForsaken implements Forsakable, if the connection below does: one in a tunnel has nothing to tell with.
func (s *relayed) OnForsaken(f func()) {
	if c, ok := s.Conn.(Forsakable); ok {
		c.OnForsaken(f)
	}
}

// Await waits until there may be something to read, if the connection below can; see ReadyReader.
func (s *relayed) Await() error {
	if c, ok := s.Conn.(interface{ Await() error }); ok {
		return c.Await()
	}
	return nil
}

// SyscallConn implements syscall.Conn, for those that wait without a buffer; see ReadyReader.
func (s *relayed) SyscallConn() (syscall.RawConn, error) {
	if c, ok := s.Conn.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
