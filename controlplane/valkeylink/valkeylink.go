// Package valkeylink keeps a task's connection to the Valkey that replicas share.
package valkeylink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/warrenedge/warren/shared/backoff"
)

// Link makes connections to one server, Valkey or Redis ≥ 7, as one client.
type Link struct {
	url, client string
	callLimit   time.Duration
}

// Check reads a URL such as redis://user:password@host:6379/0 or unix:///run/valkey.sock. Its error never repeats the URL,
// which may hold a password.
func Check(url string) error {
	if _, err := valkey.ParseURL(url); err != nil {
		return errors.New("want redis://[user:password@]host[:port][/database], rediss://… for TLS, or unix:///path; special characters in a password are percent-encoded")
	}
	return nil
}

// New makes a Link for a URL that passes Check; client is the name that the server lists it by, callLimit how long it may
// take to send a command.
func New(url, client string, callLimit time.Duration) (*Link, error) {
	if err := Check(url); err != nil {
		return nil, fmt.Errorf("valkey url: %w", err)
	}
	return &Link{url, client, callLimit}, nil
}

// Run connects, and serves the connection by session until that fails, again and again until ctx ends. session calls
// connected once it works: the next wait is then a short one. away hears why it ended; max bounds the wait, 0 is 30 s.
func (l *Link) Run(ctx context.Context, max time.Duration, session func(ctx context.Context, c valkey.Client, connected func()) error, away func(error)) {
	wait := backoff.Backoff{Max: max}
	for {
		err := l.serve(ctx, func(c valkey.Client) error { return session(ctx, c, wait.Reset) })
		if ctx.Err() != nil {
			return
		}
		away(err)
		if !wait.Wait(ctx) {
			return
		}
	}
}

func (l *Link) serve(ctx context.Context, session func(valkey.Client) error) error {
	opt, err := valkey.ParseURL(l.url)
	if err != nil {
		return Check(l.url)
	}
	opt.DisableCache = true // nobody reads the same thing twice
	opt.DisableRetry = true // Run is the retry
	opt.ClientName, opt.ConnWriteTimeout = l.client, l.callLimit
	client, err := valkey.NewClient(opt)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer client.Close()
	return session(client)
}

// Listen subscribes to a channel and, once the server has said that it does, calls serve. Messages go to deliver, one after
// another, until serve returns; ended yields why if the subscription ends before. limit bounds the wait for the server.
func Listen(ctx context.Context, c valkey.Client, channel string, limit time.Duration, deliver func(string), serve func(ended <-chan error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	ended, listening := make(chan error, 1), make(chan struct{}, 1)
	var receiver sync.WaitGroup
	defer receiver.Wait()
	defer cancel()
	receiver.Go(func() {
		hooked := valkey.WithOnSubscriptionHook(ctx, func(valkey.PubSubSubscription) {
			select {
			case listening <- struct{}{}:
			default: // it has subscribed again
			}
		})
		err := c.Receive(hooked, c.B().Subscribe().Channel(channel).Build(), func(m valkey.PubSubMessage) { deliver(m.Message) })
		if err == nil {
			err = errors.New("ended")
		}
		ended <- fmt.Errorf("subscription: %w", err)
	})
	select {
	case <-listening:
		return serve(ended)
	case err := <-ended:
		return err
	case <-time.After(limit):
		return errors.New("subscription: no answer")
	}
}
