package inbound

import (
	"errors"
	"net/netip"
	"sync"
	"syscall"
)

// PerIP is how many connections one address may have open.
const PerIP = 256

// Why a Limiter refuses.
var (
	ErrPerIP   = errors.New("too many connections of one address")
	ErrCrowded = errors.New("too many connections")
)

// Limiter counts open connections, per client and in all. What listens on the same machine shares one.
type Limiter struct {
	each, all int

	mu    sync.Mutex
	count map[netip.Addr]int // guarded by mu
	total int                // guarded by mu
}

// NewLimiter makes a Limiter for so many connections of each client, and in all.
func NewLimiter(each, all int) *Limiter {
	return &Limiter{each: each, all: all, count: make(map[netip.Addr]int)}
}

// Enter counts one more connection of a client; Leave must follow if the error is nil. It is ErrPerIP or
// ErrCrowded otherwise.
func (l *Limiter) Enter(client netip.Addr) error {
	client = Bucket(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.all {
		return ErrCrowded
	}
	if l.count[client] >= l.each {
		return ErrPerIP
	}
	l.count[client]++
	l.total++
	return nil
}

// Leave takes back one Enter of a client, and its Vouch if there was one.
func (l *Limiter) Leave(client netip.Addr, vouched bool) {
	if !vouched {
		l.Vouch(client)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
}

// Vouch counts one connection of a client no longer for its address, only in all.
func (l *Limiter) Vouch(client netip.Addr) {
	client = Bucket(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[client]--; l.count[client] == 0 {
		delete(l.count, client)
	}
}

// Open is how many clients and connections are counted now.
func (l *Limiter) Open() (clients, connections int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.count), l.total
}

// Files is how many files the process may have open.
func Files() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024
	}
	return int(min(r.Cur, 1<<21))
}

// MaxConns keeps a fifth of the process's files for everything else: DNS, tunnels, ports, the admin
// listener. A connection takes two files, its own and the one towards the target.
func MaxConns() int { return Files() * 8 / 10 / 2 }

// Bucket is what one client is for the caps: an IPv4 address, or an IPv6 /64, which is the least
// that one host is given.
func Bucket(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
