// Package handover takes over listening sockets that a service manager keeps open across restarts, so that no
// connection is refused meanwhile.
//
// The protocol is that of sd_listen_fds(3): LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES. A socket is found
// by its name (FileDescriptorName= of a systemd socket unit) and its type.
package handover

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Sockets are those that this process was started with. Safe for concurrent use.
type Sockets struct {
	mu    sync.Mutex
	files map[key]*os.File // guarded by mu; not taken yet
}

type key struct {
	name   string
	stream bool
}

func (k key) String() string {
	if k.stream {
		return k.name + " (stream)"
	}
	return k.name + " (datagram)"
}

// Inherit finds the sockets and clears the environment of them: children inherit none. It may be called
// once.
func Inherit() (*Sockets, error) {
	s := &Sockets{files: map[key]*os.File{}}
	for _, f := range activation.Files(true) {
		typ, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil {
			return nil, fmt.Errorf("socket %s handed over: %w", f.Name(), err)
		}
		k := key{f.Name(), typ == unix.SOCK_STREAM}
		if s.files[k] != nil {
			return nil, fmt.Errorf("socket %s handed over twice", k)
		}
		s.files[k] = f
	}
	return s, nil
}

func (s *Sockets) take(k key) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[k]
	delete(s.files, k)
	return f
}

// Listen gives the stream socket of this name, or else listens on an address like net.Listen.
func (s *Sockets) Listen(name, network, address string) (net.Listener, error) {
	f := s.take(key{name, true})
	if f == nil {
		return net.Listen(network, address)
	}
	defer f.Close() // the listener has a descriptor of its own
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("socket %s handed over: %w", name, err)
	}
	return l, nil
}

// ListenPacket gives the datagram socket of this name, or else one for an address like net.ListenPacket.
func (s *Sockets) ListenPacket(name, network, address string) (net.PacketConn, error) {
	f := s.take(key{name, false})
	if f == nil {
		return net.ListenPacket(network, address)
	}
	defer f.Close()
	c, err := net.FilePacketConn(f)
	if err != nil {
		return nil, fmt.Errorf("socket %s handed over: %w", name, err)
	}
	return c, nil
}

// Unused closes the sockets that nobody took and names them: what arrives there would wait for ever.
func (s *Sockets) Unused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for k, f := range maps.All(s.files) {
		names = append(names, k.String())
		_ = f.Close()
	}
	clear(s.files)
	slices.Sort(names)
	return names
}
