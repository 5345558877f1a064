//go:build netns

package lab

import (
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkLink sends over one TCP connection: by the veth pair alone, by an unshaped link, by one that looks
// at every frame. CPU is what this process used, which is both ends, the link and the kernel under them.
func BenchmarkLink(b *testing.B) {
	for _, bench := range []struct {
		name  string
		link  bool
		shape Shape
	}{
		{"veth", false, Shape{}},
		{"wire", true, Shape{}},
		{"delay=1ms", true, Shape{Delay: time.Millisecond}},
		{"rate=10G", true, Shape{Rate: 1e10}},
		{"delay=20ms", true, Shape{Delay: 20 * time.Millisecond}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			l := New(b)
			from, to := l.Host("a", "198.18.9.1"), l.Host("b", "198.18.9.2")
			if bench.link {
				must(b, linkOf(b, from).Set(Both, bench.shape))
			}
			ln := to.Listen(80)
			done := make(chan int64, 1)
			go func() {
				c, err := ln.Accept()
				if err != nil {
					done <- 0
					return
				}
				n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 256<<10))
				done <- n
			}()
			c, err := from.Dial(b.Context(), "tcp", netip.AddrPortFrom(to.Addr, 80))
			must(b, err)
			chunk := make([]byte, 1<<20)
			b.SetBytes(int64(len(chunk)))
			before, since := cpu(), time.Now()
			b.ResetTimer()
			for range b.N {
				_, err := c.Write(chunk)
				must(b, err)
			}
			_ = c.Close()
			n := <-done
			b.StopTimer()
			if n != int64(b.N)*int64(len(chunk)) {
				b.Fatalf("%d bytes arrived", n)
			}
			gb := float64(n) / 1e9
			if bench.link {
				b.ReportMetric(float64(linkOf(b, from).Stats(Up).Overflow), "overflow")
			}
			b.ReportMetric(gb*8/time.Since(since).Seconds(), "Gbit/s")
			b.ReportMetric((cpu()-before).Seconds()/gb, "CPU-s/GB")
		})
	}
}

func cpu() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(os.NewSyscallError("getrusage", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
