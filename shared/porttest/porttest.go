// Package porttest finds ports of loopback for programs that tests start and that can't say which port they took.
//
// A port that the system gave out and got back may be anybody's by the time the program opens it: packages are tested
// beside each other, and every connection to loopback takes one. These are below those that the system gives out.
package porttest

import (
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// What the system gives out begins at 32768 (net.ipv4.ip_local_port_range).
const (
	first = 20000
	limit = 32000
)

var (
	mu   sync.Mutex
	next = first + time.Now().Nanosecond()%(limit-first-3000) // guarded by mu; another process may look, too
)

// Free gives the first of n ports in a row that are free on 127.0.0.1 for TCP and UDP. None is given twice.
func Free(t testing.TB, n int) uint16 {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
search:
	for next+n < limit {
		begin := next
		for p := begin; p < begin+n; p++ {
			next = p + 1
			if !free(p) {
				continue search
			}
		}
		return uint16(begin)
	}
	t.Fatal("no free ports")
	return 0
}

// Address gives one as an address of 127.0.0.1.
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(Free(t, 1))))
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
