package tell

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/warrenedge/warren/dataplane/requestlog"
)

// BenchmarkRequestLog prints what the request log costs a node at 5,000 requests a second: the processor time of a record from
// the moment in which its request is over until it is bytes for the control plane, what is counted and the garbage collector's
// part included. Processor time, as others have the machine too.
func BenchmarkRequestLog(b *testing.B) {
	const rate, seconds = 5000, 20
	var per time.Duration
	var size int
	for b.Loop() {
		l := requestlog.New(prometheus.NewRegistry())
		t := New(&conns{}, l, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		l.Consume(t)
		list := records(rate)
		for i := range list {
			list[i].Path = fmt.Sprintf("/articles/%d", i%500)
			list[i].Service = fmt.Sprint("service_", i%20)
		}
		runtime.GC()
		before := processor(b)
		for range seconds {
			for i := range list {
				l.Add(&list[i])
				if i%requestsAtOnce == 0 {
					l.Collect()
				}
			}
			l.Collect()
			for {
				s := t.next()
				if s == nil {
					break
				}
				msg, err := proto.Marshal(s.msg)
				if err != nil {
					b.Fatal(err)
				}
				size += len(msg)
				t.stored(s)
			}
		}
		runtime.GC()
		per, size = (processor(b)-before)/(rate*seconds), size/(rate*seconds)
	}
	out, err := json.Marshal(map[string]any{
		"bench": "RequestLog", "what": "a record until it is bytes", "cpu_us_per_request": float64(per.Nanoseconds()) / 1000, "bytes_per_request": size,
		"share_of_a_processor_at_5000_per_s": float64(per.Nanoseconds()*rate) / 1e9, "wanted": "share <= 0.01",
	})
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "%s\n", out)
}

// requestsAtOnce is how many come in before a shard that fills up is collected.
const requestsAtOnce = 1000

func processor(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
