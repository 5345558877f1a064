package httpproxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// While dials take their time requests share what there is, and about as much is dialled as they wait for; each would cost
// a dial.
func TestSlowDialsAreNotOnePerRequest(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		const clients = 8
		b, end := newBubble(t, func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Millisecond) })
		var dials atomic.Int32
		at := b.Proxy.dial
		b.Proxy.dial = func(ctx context.Context, r fabric.Request) (net.Conn, fabric.Way, error) {
			dials.Add(1)
			time.Sleep(dialTrust * 9 / 10)
			return at(ctx, r)
		}
		b.serve(t, map[string]string{"a.example": "slow"})
		var all sync.WaitGroup
		ask := func(n int) {
			c := b.secure(t)
			defer c.Close()
			in := bufio.NewReader(c)
			for range n {
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
				r, err := http.ReadResponse(in, nil)
				if err != nil || r.StatusCode != http.StatusOK {
					t.Errorf("%v, %v", r, err)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
			}
		}
		ask(1)
		for range clients {
			all.Go(func() { ask(200) })
		}
		all.Wait()
		// A request that has been given a connection, and has not noticed yet, counts as one that waits: hence twice.
		if n := dials.Load(); n > 2*clients {
			t.Errorf("%d dials for %d requests at once", n, clients)
		}
		end()
	})
}

func TestDials(t *testing.T) {
	refused := errors.New("refused")
	for _, tt := range []struct {
		name string
		do   func(d *dials, ask func() *wanting, answer func(error) *kept) (want int) // dials in all
	}{
		{"one each", func(_ *dials, ask func() *wanting, _ func(error) *kept) int { ask(); ask(); return 2 }},
		{"whose request was served leaves room", func(d *dials, ask func() *wanting, _ func(error) *kept) int {
			d.has(ask())
			ask()
			return 1
		}},
		{"who is held goes on as soon as that is not for it", func(d *dials, ask func() *wanting, answer func(error) *kept) int {
			d.has(ask())
			ask()
			answer(refused) // nobody is told
			return 2
		}},
		{"not while somebody is given what came of it", func(d *dials, ask func() *wanting, answer func(error) *kept) int {
			first := ask()
			d.has(ask())
			ask()
			k := answer(nil)
			d.has(first)
			k.came()
			return 2
		}},
		{"but when nobody is any more", func(d *dials, ask func() *wanting, answer func(error) *kept) int {
			d.has(ask())
			ask()
			answer(nil).came()
			return 2
		}},
		{"who comes while somebody is given what came of it waits for nothing", func(d *dials, ask func() *wanting, answer func(error) *kept) int {
			first := ask()
			k := answer(nil)
			d.has(first)
			ask()
			k.came()
			return 2
		}},
		{"who is held and served dials no more", func(d *dials, ask func() *wanting, answer func(error) *kept) int {
			d.has(ask())
			d.has(ask())
			answer(refused)
			return 1
		}},
		{"nobody waits for others for long", func(d *dials, ask func() *wanting, _ func(error) *kept) int {
			d.has(ask())
			ask()
			time.Sleep(dialTrust)
			return 2
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				var d dials
				ctx, cancel := context.WithCancel(t.Context())
				var began atomic.Int32
				answers, made := make(chan error), make(chan *kept, 1)
				var all sync.WaitGroup
				ask := func() *wanting {
					w := &wanting{}
					d.want(w)
					all.Go(func() {
						_, _ = d.do(ctx, w, func() (net.Conn, error) {
							began.Add(1)
							select {
							case err := <-answers:
								k := &kept{}
								made <- k
								return k, err
							case <-ctx.Done():
								return nil, ctx.Err()
							}
						})
					})
					synctest.Wait()
					return w
				}
				want := tt.do(&d, ask, func(err error) *kept { answers <- err; synctest.Wait(); return <-made })
				synctest.Wait()
				if got := int(began.Load()); got != want {
					t.Errorf("%d dials, want %d", got, want)
				}
				cancel()
				all.Wait()
				if d.coming != 0 || len(d.queue) != 0 || d.held.Load() != 0 {
					t.Errorf("%d are coming, %d held", d.coming, len(d.queue))
				}
			})
		})
	}
}

// A request that waits again, as it was given a dead connection, is not given the error of the dial that it began before:
// it does not wait for that.
func TestAFailedDialOfBeforeHoldsNobody(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		var d dials
		var w wanting
		var again atomic.Bool
		refuse := make(chan struct{})
		var all sync.WaitGroup
		ask := func(dial func()) {
			d.want(&w)
			all.Go(func() {
				_, _ = d.do(t.Context(), &w, func() (net.Conn, error) { dial(); return nil, net.ErrClosed })
			})
			synctest.Wait()
		}
		ask(func() { <-refuse })
		d.has(&w)
		ask(func() { again.Store(true) })
		if again.Load() {
			t.Error("it dials again while its first dial may serve it")
		}
		close(refuse)
		synctest.Wait()
		if !again.Load() {
			t.Error("it waits for a dial that has failed")
		}
		d.has(&w)
		all.Wait()
	})
}

// The transport gives an upgrade no connection that another request has begun: it waits for none.
func TestUpgradesWaitForNoDialsOfOthers(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		const dial = dialTrust / 4
		b, end := newBubble(t, func(w http.ResponseWriter, r *http.Request) {
			if upgradeEcho(w, r); r.URL.Path == "/slow" {
				time.Sleep(dial / 2)
			}
		})
		at := b.Proxy.dial
		b.Proxy.dial = func(ctx context.Context, r fabric.Request) (net.Conn, fabric.Way, error) {
			time.Sleep(dial)
			return at(ctx, r)
		}
		b.serve(t, map[string]string{"a.example": "slow"})
		ask := func(path, fields string, want int) {
			c := b.secure(t)
			defer c.Close()
			_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a.example\r\n"+fields+"\r\n")
			if r, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || r.StatusCode != want {
				t.Errorf("%s: %v, %v", path, r, err)
			}
		}
		var all sync.WaitGroup
		all.Go(func() { ask("/slow", "", http.StatusUpgradeRequired) })
		time.Sleep(dial + dial/4)
		ask("/", "", http.StatusUpgradeRequired) // it is served by the connection of the first, and nobody needs its own
		all.Wait()
		for _, when := range []time.Duration{0, time.Second} { // that is dialled, that is idle
			time.Sleep(when)
			start := time.Now()
			ask("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n", http.StatusSwitchingProtocols)
			if took := time.Since(start); took > dial {
				t.Errorf("an upgrade took %v where a dial takes %v", took, dial)
			}
		}
		end()
	})
}
