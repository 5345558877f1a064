package push

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	xdsstream "github.com/envoyproxy/go-control-plane/pkg/server/stream/v3"
	"google.golang.org/protobuf/types/known/anypb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/resource"
)

// shared makes the i-th of the resources that all readers of a cluster have, with content that differs by n.
func shared(i, n int) *snapshot.Resource {
	name := fmt.Sprintf("route/org/service_%06d", i)
	body := []byte(fmt.Sprintf("%-400d%d", n, i))
	return &snapshot.Resource{
		TypeURL: resource.Route, Name: name, Version: resource.Version(resource.Route, 1, body),
		Any: &anypb.Any{TypeUrl: resource.Route, Value: body}, Scopes: []string{resource.ScopeCluster},
	}
}

// parked is an index with so many shared resources and so many streams that read them.
func parked(resources, streams int) *index {
	x := newIndex(1, bounds{200_000, 64 << 20})
	ch := snapshot.Changes{Revision: 1, Full: true}
	for i := range resources {
		ch.Upserts = append(ch.Upserts, shared(i, 0))
	}
	x.publish(ch, model.Empty())
	for range streams {
		x.register(&stream{}, nil, []string{resource.ScopeCluster})
	}
	return x
}

// change publishes one changed resource and returns how many streams are to be told.
func (x *index) changeOne(rev int) int {
	touched, ok := x.publish(snapshot.Changes{Revision: model.Revision(rev), Upserts: []*snapshot.Resource{shared(rev%1000, rev)}}, model.Empty())
	if !ok {
		panic("refused")
	}
	return len(touched)
}

// A change costs what it changes and whom it reaches, not what else there is.
func TestCostDoesNotDependOnTheOthers(t *testing.T) {
	const streams = 200
	allocations := func(resources int) float64 {
		x, rev := parked(resources, streams), 1
		return testing.AllocsPerRun(300, func() {
			rev++
			if n := x.changeOne(rev); n != streams {
				t.Fatalf("%d streams to be told, want %d", n, streams)
			}
		})
	}
	small, large := allocations(1_000), allocations(50_000)
	if large > 1.25*small+10 {
		t.Errorf("%v allocations among 1,000 resources, %v among 50,000", small, large)
	}
}

// Whom a change does not concern, it does not touch.
func TestOnlyReadersOfTheScopeAreTold(t *testing.T) {
	x := parked(1000, 100)
	for i := range 50 {
		x.register(&stream{}, nil, []string{fmt.Sprintf("pool/p%d", i%5)})
	}
	r := shared(1, 1)
	r.Name, r.Scopes = "route/org/own", []string{"pool/p3"}
	touched, ok := x.publish(snapshot.Changes{Revision: 2, Upserts: []*snapshot.Resource{r}}, model.Empty())
	if !ok || len(touched) != 10 {
		t.Errorf("%d streams touched, want 10", len(touched))
	}
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func figure(name string, n int, used time.Duration) {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"benchmark": name, "n": n, "cpu_us_per_change": float64(used.Microseconds()) / float64(n)})
}

// BenchmarkChange is the CPU time of one change among shared resources, up to knowing whom to tell, beside
// the stock cache, which also makes the responses, in the same run.
func BenchmarkChange(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("index/%dx200", size), func(b *testing.B) {
			x, rev := parked(size, 200), 1
			b.ReportAllocs()
			begin := cpu()
			for b.Loop() {
				rev++
				x.changeOne(rev)
			}
			figure(fmt.Sprintf("index %d x 200", size), b.N, cpu()-begin)
		})
	}
	b.Run("LinearCache/1000x200", func(b *testing.B) {
		c, watch := linear(1_000, 200)
		rev := 0
		b.ReportAllocs()
		begin := cpu()
		for b.Loop() {
			rev++
			if err := c.UpdateResource(fmt.Sprintf("route/org/service_%06d", rev%1000), stock(rev%1000, rev)); err != nil {
				b.Fatal(err)
			}
			watch()
		}
		figure("LinearCache 1000 x 200", b.N, cpu()-begin)
	})
}

func stock(i, n int) types.Resource {
	return &nodev1.Route{ServiceId: fmt.Sprint(i), ServiceName: fmt.Sprintf("%-400d", n)}
}

// linear is the stock cache with watchers; watch takes their responses and watches again.
func linear(resources, watchers int) (c *cache.LinearCache, watch func()) {
	initial := map[string]types.Resource{}
	for i := range resources {
		initial[fmt.Sprintf("route/org/service_%06d", i)] = stock(i, 0)
	}
	c = cache.NewLinearCache(resource.Route, cache.WithInitialResources(initial))
	subs := make([]xdsstream.Subscription, watchers)
	chans := make([]chan cache.DeltaResponse, watchers)
	req := &discovery.DeltaDiscoveryRequest{TypeUrl: resource.Route}
	for i := range watchers {
		subs[i] = xdsstream.NewDeltaSubscription([]string{"*"}, nil, nil, true)
		chans[i] = make(chan cache.DeltaResponse, 4)
		_, _ = c.CreateDeltaWatch(req, subs[i], chans[i])
	}
	watch = func() {
		for i := range watchers {
			resp := <-chans[i]
			_, _ = resp.GetDeltaDiscoveryResponse()
			subs[i].SetReturnedResources(resp.GetNextVersionMap())
			_, _ = c.CreateDeltaWatch(req, subs[i], chans[i])
		}
	}
	watch() // the first answers
	return c, watch
}
