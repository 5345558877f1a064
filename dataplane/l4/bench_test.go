package l4

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/porttest"
)

// cpu is what the process has used so far.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkTCP carries bytes to a target that discards them, straight, through a plain io.Copy relay, and
// through a port of ours, in turns. What the two relays cost beyond the ends themselves is compared.
func BenchmarkTCP(b *testing.B) {
	discard := listen(b)
	run(b, func(ctx context.Context) error {
		return fabric.Serve(ctx, discard, func(_ context.Context, c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	})
	target := discard.Addr().String()
	plain := listen(b)
	run(b, func(ctx context.Context) error {
		return fabric.Serve(ctx, plain, func(_ context.Context, c net.Conn) {
			out, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			defer out.Close()
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = io.Copy(c, out) })
			_, _ = io.Copy(out, c)
			_ = out.(*net.TCPConn).CloseWrite()
			wg.Wait()
		})
	})
	s := newServer(func(ctx context.Context, _ fabric.Request) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", target)
	})
	run(b, s.Run)
	port := porttest.Free(b, 1)
	apply(b, s, Forward{Service: "s", FirstPort: port, LastPort: port, Targets: targets("t")})

	const size = 256 << 20
	chunk := make([]byte, 128<<10)
	send := func(address string) time.Duration {
		before := cpu(b)
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		for sent := 0; sent < size; sent += len(chunk) {
			if _, err := c.Write(chunk); err != nil {
				b.Fatal(err)
			}
		}
		_ = c.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, c) // until all of it has arrived
		return cpu(b) - before
	}
	ways := []string{target, plain.Addr().String(), at(port)}
	best := []time.Duration{time.Hour, time.Hour, time.Hour}
	b.SetBytes(size * int64(len(ways)))
	for b.Loop() {
		for i, address := range ways {
			best[i] = min(best[i], send(address)) // a shared machine is slower by turns
		}
	}
	gb := func(d time.Duration) float64 { return d.Seconds() / size * 1e9 }
	copied, ours := gb(best[1]-best[0]), gb(best[2]-best[0])
	b.ReportMetric(copied, "cpu-s/GB-copy")
	b.ReportMetric(ours, "cpu-s/GB-port")
	fmt.Printf("\n{\"bench\":\"l4_tcp\",\"cpu_s_per_gb_direct\":%.3f,\"cpu_s_per_gb_io_copy\":%.3f,\"cpu_s_per_gb_port\":%.3f,\"ratio\":%.2f}\n",
		gb(best[0]), copied, ours, ours/copied)
}
