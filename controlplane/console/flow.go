package console

import (
	"context"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// Bounds of what is kept of traffic: pages are rendered far more often than nodes tell what they have counted.
const (
	flowKept  = 5 * time.Second
	mostFlows = 1000
)

// flow is how much went where in the last minutes, by the ids of sites, services or nodes.
type flow map[string]admin.Traffic

// rate is requests a second.
func (f flow) rate(id string) string {
	if f == nil {
		return "–"
	}
	return perSecond(f[id].Rate)
}

// bytes is how much went both ways in a second.
func (f flow) bytes(id string) string {
	if f == nil {
		return "–"
	}
	return bytesOf(uint64(float64(f[id].In+f[id].Out)/recentTime.Seconds())) + "/s"
}

// slow is how long 99 of 100 took at most.
func (f flow) slow(id string) string {
	if f[id].Requests == 0 {
		return "–"
	}
	return ms(time.Duration(f[id].P99 * float64(time.Millisecond)))
}

// failed is the share that failed, as a badge's tone and words.
func (f flow) failed(id string) (text, tone string) {
	v, ok := f[id]
	if !ok || v.Requests == 0 {
		return "–", idle
	}
	share, tone := failing(&v)
	return percent(share), tone
}

// flows keeps what was added up a moment ago. Safe for concurrent use.
type flows struct {
	mu   sync.Mutex
	kept map[flowKey]keptFlow // guarded by mu; mostFlows at most, without those that are too old
}

type flowKey struct {
	org model.OrgID // zero: of all
	by  model.TrafficBy
}

type keptFlow struct {
	at   time.Time
	flow flow
}

// get is what is kept, or what add adds up anew.
func (f *flows) get(k flowKey, now time.Time, add func() (flow, error)) (flow, error) {
	f.mu.Lock()
	have, ok := f.kept[k]
	f.mu.Unlock()
	if ok && now.Sub(have.at) < flowKept {
		return have.flow, nil
	}
	v, err := add()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept == nil || len(f.kept) >= mostFlows {
		f.kept = map[flowKey]keptFlow{}
	}
	f.kept[k] = keptFlow{now, v}
	return v, nil
}

// flow is how much goes where in the organization; nil to who may not know, and while the database is away.
func (q *Request) flow(by model.TrafficBy) (flow, error) {
	if !q.Can(access.TrafficRead) {
		return nil, nil
	}
	return q.added(flowKey{q.Org.ID, by}, func(ctx context.Context) ([]admin.Traffic, error) {
		return q.Admin.Traffic(ctx, q.Who, q.Org.ID.String(), admin.TrafficQuery{Since: q.Now.Add(-recentTime), Until: q.Now, By: by})
	})
}

// nodeFlow is how much goes over each node, of all organizations.
func (q *Request) nodeFlow() (flow, error) {
	return q.added(flowKey{by: model.ByNode}, func(ctx context.Context) ([]admin.Traffic, error) {
		return q.Admin.NodeTraffic(ctx, q.Who, q.Now.Add(-recentTime), q.Now)
	})
}

func (q *Request) added(k flowKey, add func(context.Context) ([]admin.Traffic, error)) (flow, error) {
	out, err := q.flows.get(k, q.Now, func() (flow, error) {
		list, err := add(q.Context())
		out := make(flow, len(list))
		for _, v := range list {
			out[v.ID] = v
		}
		return out, err
	})
	if fault.Of(err) == fault.Unavailable {
		return nil, nil
	}
	return out, err
}
