package httpproxy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/dataplane/tell"
)

// BenchmarkRequestLog prints what requests cost with and without the request log, in turns: processor time of this process, in
// which client, node and target are. The log is collected, and made into what is told, as a node does it.
func BenchmarkRequestLog(b *testing.B) {
	const turns, each = 100, 500
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	defer srv.Close()
	e := newEdge(b, map[string]string{"t": srv.Listener.Addr().String()})
	e.serve(b, map[string]string{"app.example.org": "t"})
	e.access = slog.New(slog.DiscardHandler)
	l := requestlog.New(prometheus.NewRegistry())
	teller := tell.New(nil, l, slog.New(slog.DiscardHandler), prometheus.NewRegistry()) // nobody listens: what is too much is dropped
	l.Consume(teller)
	c := e.client(b, false, "app.example.org")
	round := func(with bool) time.Duration {
		if e.records = nil; with {
			e.SetRequestLog(l)
		}
		before := processor(b)
		for i := range each {
			if status, _ := get(b, c, fmt.Sprintf("https://app.example.org/%d", i%50)); status != http.StatusOK {
				b.Fatal(status)
			}
		}
		l.Collect()
		return (processor(b) - before) / each
	}
	for b.Loop() {
		var with, without []time.Duration
		for i := range turns {
			x, y := round(i%2 == 0), round(i%2 == 1)
			if i%2 == 1 {
				x, y = y, x
			}
			with, without = append(with, x), append(without, y)
		}
		x, y := quarter(with), quarter(without)
		us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
		out, err := json.Marshal(map[string]any{
			"bench": "RequestLog", "what": "requests with and without it, client and target in the same process", "turns": turns,
			"cpu_us_without": us(y), "cpu_us_with": us(x), "more_us": us(x - y), "more": float64(x-y) / float64(y), "share_of_a_processor_at_5000_per_s": (x - y).Seconds() * 5000, "wanted": "share <= 0.01",
		})
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(os.Stdout, "%s\n", out)
	}
}

// quarter is what a quarter of them do not exceed: what else the machine does makes them longer, never shorter.
func quarter(l []time.Duration) time.Duration {
	slices.SortFunc(l, cmp.Compare[time.Duration])
	return l[len(l)/4]
}

func processor(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
