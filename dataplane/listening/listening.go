// Package listening finds out on which TCP ports programs of this machine wait, so that people pick instead of type.
package listening

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds: a machine with many connections has a long table, and nobody picks among hundreds.
const (
	every    = 10 * time.Second
	mostRead = 4 << 20 // bytes of a table
	Most     = 64      // ports
)

// tables are where Linux lists the sockets of the network namespace.
var tables = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// Watch knows the ports, as they were some seconds ago at most. Safe for concurrent use.
type Watch struct {
	but []uint16 // our own

	mu   sync.Mutex
	at   time.Time
	last []uint16
}

// New makes a Watch that leaves out some ports.
func New(but ...uint16) *Watch { return &Watch{but: but} }

// Ports are those on which somebody listens, ascending, Most of them at most. Where nobody can tell, there are none.
func (w *Watch) Ports() []uint16 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); w.at.IsZero() || now.Sub(w.at) >= every {
		w.at, w.last = now, w.read(tables)
	}
	return w.last
}

func (w *Watch) read(paths []string) (out []uint16) {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		out = append(out, parse(io.LimitReader(f, mostRead))...)
		_ = f.Close()
	}
	slices.Sort(out)
	out = slices.DeleteFunc(slices.Compact(out), func(p uint16) bool { return slices.Contains(w.but, p) })
	return out[:min(len(out), Most)]
}

// stateListen is TCP_LISTEN of the kernel.
const stateListen = "0A"

// parse reads the ports of one table: "sl local_address rem_address st …", addresses as HEX:PORT. What makes no sense is passed over.
func parse(r io.Reader) (out []uint16) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != stateListen {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil && port > 0 {
			out = append(out, uint16(port))
		}
	}
	return out
}
