package tail

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/backoff"
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
	url   string
	name  string // of this process
	hub   *Hub
	out   chan Batch
	asked chan struct{} // one place: somebody watches
}

func newValkeyBus(url string, h *Hub) (*valkeyBus, error) {
	if _, err := valkey.ParseURL(url); err != nil {
		return nil, fmt.Errorf("valkey url: %w", err)
	}
	return &valkeyBus{url: url, name: rand.Text(), hub: h, out: make(chan Batch, queued), asked: make(chan struct{}, 1)}, nil
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
	wait := backoff.Backoff{Max: 5 * time.Second}
	for {
		err := v.session(ctx, wait.Reset)
		if ctx.Err() != nil {
			return
		}
		v.hub.log.Warn("valkey is away, who watches sees the requests of this replica's nodes", "err", err)
		if !wait.Wait(ctx) {
			return
		}
	}
}

// session serves one connection until it fails.
func (v *valkeyBus) session(ctx context.Context, connected func()) error {
	opt, err := valkey.ParseURL(v.url)
	if err != nil {
		return err
	}
	opt.DisableCache, opt.DisableRetry, opt.ClientName, opt.ConnWriteTimeout = true, true, "warren-control", callLimit
	client, err := valkey.NewClient(opt)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	ended, listening := make(chan error, 1), make(chan struct{})
	var receiver sync.WaitGroup
	defer receiver.Wait()
	defer cancel()
	receiver.Go(func() {
		hooked := valkey.WithOnSubscriptionHook(ctx, func(valkey.PubSubSubscription) { close(listening) })
		ended <- client.Receive(hooked, client.B().Subscribe().Channel(channel).Build(), func(m valkey.PubSubMessage) { v.deliver(m.Message) })
	})
	select {
	case <-listening:
	case err := <-ended:
		return fmt.Errorf("subscription: %w", orEnded(err))
	case <-time.After(callLimit):
		return errors.New("subscription: no answer")
	}
	connected()
	v.ask()
	tick := time.NewTicker(wantEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return fmt.Errorf("subscription: %w", orEnded(err))
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

func orEnded(err error) error {
	if err == nil {
		return errors.New("ended")
	}
	return err
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
