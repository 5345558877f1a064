package sni

import (
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// perIP is how many connections one address may have open.
const perIP = 256

// limiter counts open connections, per client and in all.
type limiter struct {
	each, all int

	mu    sync.Mutex
	count map[netip.Addr]int // guarded by mu
	total int                // guarded by mu
}

func newLimiter(each, all int) *limiter {
	return &limiter{each: each, all: all, count: make(map[netip.Addr]int)}
}

// enter counts one more connection of addr; leave must follow if err is nil.
func (l *limiter) enter(addr netip.Addr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= l.all {
		return reasonCrowded
	}
	if l.count[addr] >= l.each {
		return reasonPerIP
	}
	l.count[addr]++
	l.total++
	return nil
}

// leave takes back one enter of addr, and its vouch if there was one.
func (l *limiter) leave(addr netip.Addr, vouched bool) {
	if !vouched {
		l.vouch(addr)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
}

// vouch counts one connection of addr no longer for that address, only in all.
func (l *limiter) vouch(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count[addr]--; l.count[addr] == 0 {
		delete(l.count, addr)
	}
}

// globalCap keeps a fifth of the process's files for everything else: DNS, tunnels, the admin
// listener. A connection takes two files, its own and the one towards the target.
func globalCap() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 1024 * 8 / 10 / 2
	}
	return int(min(r.Cur, 1<<21)) * 8 / 10 / 2
}

// bucket is what one client is for the cap: an IPv4 address, or an IPv6 /64, which is the least
// that one host is given.
func bucket(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// addrPort is the address of one end of a connection; zero if it is no IP address.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
