package streams

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// cpu is the processor time of this process so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

const (
	requestSize = 200
	answerSize  = 1000
	bulkSize    = 64 << 20
)

// answers is a target: it answers each request of a connection, and 'B' with a bulk.
func answers(b *testing.B) string {
	l := listen(b)
	serve(b, func(ctx context.Context) error {
		return fabric.Serve(ctx, l, func(_ context.Context, c net.Conn) {
			in, out := make([]byte, requestSize), make([]byte, 64<<10)
			for {
				if _, err := io.ReadFull(c, in); err != nil {
					return
				}
				n := answerSize
				if in[0] == 'B' {
					n = bulkSize
				}
				for n > 0 {
					k, err := c.Write(out[:min(n, len(out))])
					if err != nil {
						return
					}
					n -= k
				}
			}
		})
	})
	return l.Addr().String()
}

// relay carries each connection to where up leads.
func relay(b *testing.B, up func() (net.Conn, error)) string {
	l := listen(b)
	serve(b, func(ctx context.Context) error {
		return fabric.Serve(ctx, l, func(ctx context.Context, c net.Conn) {
			u, err := up()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = u.Close() })
			defer stop()
			fabric.Splice(c, u)
		})
	})
	return l.Addr().String()
}

func ask(b *testing.B, c net.Conn, first byte, n int) {
	req, answer := make([]byte, requestSize), make([]byte, 64<<10)
	req[0] = first
	if _, err := c.Write(req); err != nil {
		b.Fatal(err)
	}
	for n > 0 {
		k, err := c.Read(answer)
		if n -= k; err != nil {
			b.Fatal(err)
		}
	}
}

// cost is the processor time of one way: milliseconds per kept request and new connection, seconds per gigabyte.
type cost struct{ kept, fresh, bulk float64 }

func measure(b *testing.B, addr string) (c cost) {
	open := func() net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		return conn
	}
	per := func(n int, unit time.Duration, f func()) float64 {
		f()
		start := cpu(b)
		for range n {
			f()
		}
		return float64(cpu(b)-start) / float64(n) / float64(unit)
	}
	kept := open()
	defer kept.Close()
	c.kept = per(5000, time.Millisecond, func() { ask(b, kept, 'R', answerSize) })
	c.fresh = per(2000, time.Millisecond, func() {
		conn := open()
		ask(b, conn, 'R', answerSize)
		_ = conn.Close()
	})
	c.bulk = per(8, time.Second, func() { ask(b, kept, 'B', bulkSize) }) * (1 << 30) / bulkSize
	return c
}

// BenchmarkCarrier compares the carrier, both ends of it, with a plain relay at the place of the two, and with a
// way that leads through another node as well: the difference is what that hop costs. What
// client and target cost without anything between them is taken off.
func BenchmarkCarrier(b *testing.B) {
	ca := identitytest.New(b)
	target := answers(b)
	e := newEdge(b, ca, "node_1", "connector_1")
	newSite(b, ca, "connector_1", target, e)
	e.wait(b, "connector_1")
	other := newEdge(b, ca, "node_2")
	meet(e, other)
	eventually(b, "the nodes have found each other", func() bool { return other.others.Up("node_1") })
	ways := []struct{ name, addr string }{
		{"direct", target},
		{"relay", relay(b, func() (net.Conn, error) { return net.Dial("tcp", target) })},
		{"streams", relay(b, func() (net.Conn, error) { return e.fab.DialTarget(context.Background(), request("t")) })},
		{"streams, through another node", relay(b, func() (net.Conn, error) { return other.fab.DialTarget(context.Background(), request("t")) })},
	}
	for b.Loop() {
		var direct cost
		for i, w := range ways {
			c := measure(b, w.addr)
			if i == 0 {
				direct = c
				continue
			}
			line, err := json.Marshal(map[string]any{
				"bench": "stream carrier", "way": w.name, "cpu_ms_per_kept_request": round(c.kept - direct.kept),
				"cpu_ms_per_new_connection": round(c.fresh - direct.fresh), "cpu_s_per_gb": round(c.bulk - direct.bulk),
			})
			if err != nil {
				b.Fatal(err)
			}
			fmt.Println(string(line))
		}
	}
}

func round(f float64) float64 { return float64(int(f*1000+.5)) / 1000 }

// BenchmarkIdle prints what a connector that does nothing costs: both its ends, which share this process.
func BenchmarkIdle(b *testing.B) {
	const sites = 300
	ca := identitytest.New(b)
	var ids []string
	for i := range sites {
		ids = append(ids, fmt.Sprintf("connector_%d", i))
	}
	e := newEdge(b, ca, "node_1", ids...)
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := memory()
	for _, id := range ids {
		newSite(b, ca, id, "127.0.0.1:1", e)
	}
	eventually(b, "all are idle", func() bool { idle, _, up := e.node.counts(); return up == sites && idle == sites*restConns })
	for b.Loop() {
		time.Sleep(12 * time.Second) // until heartbeats are at their pace of idleness
		each := float64(memory()-before) / sites / 1024
		start, at := cpu(b), time.Now()
		time.Sleep(5 * time.Second)
		share := float64(cpu(b)-start) / float64(time.Since(at))
		line, err := json.Marshal(map[string]any{
			"bench": "idle stream carrier, both ends", "sites": sites, "kib_per_site": round(each), "cpu_percent_of_2000_sites": round(share / sites * 2000 * 100),
		})
		if err != nil {
			b.Fatal(err)
		}
		fmt.Println(string(line))
	}
}
