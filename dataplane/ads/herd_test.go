package ads

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/resource"
)

// crowd is a control plane that is away; it takes note of who would have reached it when.
type crowd struct {
	mu   sync.Mutex
	came map[string][]time.Time
}

type oneOf struct {
	*crowd
	name string
}

func (o oneOf) Conn(context.Context) (*grpc.ClientConn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.came[o.name] = append(o.came[o.name], time.Now())
	return nil, errors.New("away")
}
func (oneOf) Failed(*grpc.ClientConn) {}

// However long the control plane was away, every one of 500 nodes is back within ten seconds, and they do not all come in
// the same moment.
func TestT23AHerdIsBackWithinSecondsAndSpread(t *testing.T) {
	const nodes = 500
	bubbletest.Run(t, func(t *testing.T) {
		c := &crowd{came: map[string][]time.Time{}}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range nodes {
			name := fmt.Sprint("node_", i)
			wg.Go(func() {
				_ = New(Options{Conns: oneOf{c, name}, NodeID: name, Types: resource.NodeTypes(), Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry()}).Run(ctx)
			})
		}
		for _, away := range []time.Duration{time.Second, time.Minute, 3 * time.Minute} {
			time.Sleep(away)
			back := time.Now()
			time.Sleep(10 * time.Second)
			var after []time.Duration
			c.mu.Lock()
			for name, times := range c.came {
				i := slices.IndexFunc(times, back.Before)
				if i < 0 {
					t.Fatalf("after %v: %s does not come within ten seconds", away, name)
				}
				after = append(after, times[i].Sub(back))
				c.came[name] = nil
			}
			c.mu.Unlock()
			slices.Sort(after)
			if len(after) != nodes {
				t.Errorf("after %v: %d of %d", away, len(after), nodes)
			}
			if away < time.Minute {
				continue // their waits are still short
			}
			for i := range after[nodes/4:] { // a quarter of them in a quarter of a second would be a herd
				if after[i+nodes/4]-after[i] < 250*time.Millisecond {
					t.Errorf("after %v: %d come between %v and %v", away, nodes/4, after[i], after[i+nodes/4])
					break
				}
			}
		}
		cancel()
		wg.Wait()
	})
}
