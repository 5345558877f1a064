// Package porttest finds ports of loopback for programs that tests start and that can't say which port they took.
//
// A port that the system gave out and got back may be anybody's by the time the program opens it: packages are tested
// beside each other, and every connection to loopback takes one. These are below those that the system gives out, and no
// other process that asks here is given them before the test has ended.
package porttest

import (
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	first = 20000
	limit = 32000 // what the system gives out begins at 32768 (net.ipv4.ip_local_port_range)
	block = 50    // so many in a row are one process's at a time
)

var ports = &pool{next: first + time.Now().Nanosecond()/1000%(limit-first), own: own, free: free, held: map[int]*held{}}

// Free gives the first of n ports in a row that are free on 127.0.0.1 for TCP and UDP. Until the test has ended nobody else
// is given one of them.
func Free(t testing.TB, n int) uint16 {
	t.Helper()
	port, err := ports.take(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ports.leave(port, n) })
	return uint16(port)
}

// Address gives one as an address of 127.0.0.1.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(Free(t, 1))))
}

// pool gives ports out one after the other, so that one that was left comes again late.
type pool struct {
	own  func(number int) (end func(), err error) // makes a block this process's, until end is called
	free func(port int) bool

	mu   sync.Mutex
	next int           // guarded by mu
	held map[int]*held // guarded by mu; blocks of this process, by number
}

type held struct {
	end   func()
	taken [block]bool
}

func (p *pool) take(n int) (port int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.tidy()
	for looked := 0; looked < limit-first; {
		begin := p.next
		if begin+n > limit {
			looked, p.next = looked+limit-begin, first
			continue
		}
		good := 0
		for good < n && p.may(begin+good) {
			good++
		}
		if good == n {
			p.next += n
			p.mark(begin, n, true)
			return begin, nil
		}
		looked, p.next = looked+good+1, begin+good+1
	}
	return 0, fmt.Errorf("there are no %d free ports in a row", n)
}

func (p *pool) leave(port, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mark(port, n, false)
	p.tidy()
}

// may reports whether a port can be given out; its block is this process's then. Callers hold mu.
func (p *pool) may(port int) bool {
	number := port / block
	if p.held[number] == nil {
		end, err := p.own(number)
		if err != nil {
			return false
		}
		p.held[number] = &held{end: end}
	}
	return !p.held[number].taken[port%block] && p.free(port)
}

// mark notes who has ports. Callers hold mu.
func (p *pool) mark(port, n int, taken bool) {
	for i := port; i < port+n; i++ {
		p.held[i/block].taken[i%block] = taken
	}
}

// tidy lets blocks go of which no port is taken. Callers hold mu.
func (p *pool) tidy() {
	for number, h := range p.held {
		if h.taken == [block]bool{} {
			h.end()
			delete(p.held, number)
		}
	}
}

// own holds a name that one process of this network can have. It is no file: it ends with the process.
func own(number int) (end func(), err error) {
	l, err := net.Listen("unix", fmt.Sprintf("@warren-porttest-%d", number))
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Close() }, nil
}

func free(port int) bool {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	_ = l.Close()
	u, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	_ = u.Close()
	return true
}
