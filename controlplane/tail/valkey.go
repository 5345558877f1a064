package tail

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/valkeylink"
)

// How replicas share a Valkey: one channel, on which each says what is watched at it, again and again, and what others want
// to see.
const (
	channel   = "warren:tail"
	wantEvery = 2 * time.Second // well within wantTime
	callLimit = 2 * time.Second
	queued    = 64  // batches that wait to be sent; when it is full, a batch is dropped
	chunk     = 200 // requests of a message
)

type message struct {
	Replica string        `json:"replica"`
	Want    []model.OrgID `json:"want,omitempty"`
	Batch   *Batch        `json:"batch,omitempty"`
}

type valkeyBus struct {
	link  *valkeylink.Link
	name  string // of this process
	hub   *Hub
	out   chan Batch
	asked chan struct{} // one place: somebody watches
}

func newValkeyBus(url string, h *Hub) (*valkeyBus, error) {
	link, err := valkeylink.New(url, "warren-control", callLimit)
	if err != nil {
		return nil, err
	}
	return &valkeyBus{link: link, name: rand.Text(), hub: h, out: make(chan Batch, queued), asked: make(chan struct{}, 1)}, nil
}

// ask tells the others soon what is watched here.
func (v *valkeyBus) ask() {
	select {
	case v.asked <- struct{}{}:
	default:
	}
}

// send queues a batch, and reports false if there is no room.
func (v *valkeyBus) send(b Batch) bool {
	select {
	case v.out <- b:
		return true
	default:
		return false
	}
}

// run connects again for as long as ctx lives.
func (v *valkeyBus) run(ctx context.Context) {
	v.link.Run(ctx, 5*time.Second, v.session, func(err error) {
		v.hub.log.Warn("valkey is away, who watches sees the requests of this replica's nodes", "err", err)
	})
}

// session serves one connection until it fails.
func (v *valkeyBus) session(ctx context.Context, client valkey.Client, connected func()) error {
	return valkeylink.Listen(ctx, client, channel, callLimit, v.deliver, func(ended <-chan error) error {
		connected()
		return v.serve(ctx, client, ended)
	})
}

// serve says what is watched here, and sends what others want to see.
func (v *valkeyBus) serve(ctx context.Context, client valkey.Client, ended <-chan error) error {
	v.ask()
	tick := time.NewTicker(wantEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-v.asked:
			err = v.tell(ctx, client)
		case <-tick.C:
			err = v.tell(ctx, client)
		case b := <-v.out:
			err = v.pass(ctx, client, b)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (v *valkeyBus) tell(ctx context.Context, c valkey.Client) error {
	if orgs := v.hub.watched(); len(orgs) > 0 {
		return v.publish(ctx, c, message{Want: orgs})
	}
	return nil
}

func (v *valkeyBus) pass(ctx context.Context, c valkey.Client, b Batch) error {
	for {
		part := b
		part.Requests = b.Requests[:min(len(b.Requests), chunk)]
		if err := v.publish(ctx, c, message{Batch: &part}); err != nil {
			return err
		}
		b.Requests, b.Gaps = b.Requests[len(part.Requests):], nil
		if len(b.Requests) == 0 {
			return nil
		}
	}
}

func (v *valkeyBus) publish(ctx context.Context, c valkey.Client, m message) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	m.Replica = v.name
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := c.Do(ctx, c.B().Publish().Channel(channel).Message(string(b)).Build()).Error(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// deliver takes what another replica says.
func (v *valkeyBus) deliver(raw string) {
	var m message
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		v.hub.log.Warn("message of another replica unreadable", "err", err)
		return
	}
	if m.Replica == v.name {
		return
	}
	v.hub.want(m.Want)
	if m.Batch != nil {
		v.hub.show(*m.Batch)
	}
}
