// Package limits bounds how often something may be tried, over all replicas.
//
// It is the generic cell rate algorithm: of each key one number is kept, the moment when all that was let pass will
// have been paid for. Replicas share the numbers in Valkey; one that can't reach it counts alone until it can.
package limits

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valkey-io/valkey-go"

	"github.com/warrenedge/warren/controlplane/valkeylink"
)

// Rate lets Burst through at once and one more each Every.
type Rate struct {
	Every time.Duration
	Burst int
}

// Key is what is counted. What is in its parts can't be read from what is kept.
type Key struct {
	name string
	rate Rate
}

// NewKey makes a key of a kind of thing and what tells it from others of the kind.
func NewKey(r Rate, kind string, parts ...string) Key {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return Key{"warren:limit:" + kind + ":" + hex.EncodeToString(sum[:16]), r}
}

// Rate is how often what has the key may be done.
func (k Key) Rate() Rate { return k.rate }

// Client is the part of an address that stands for one client: of IPv6 the network that one gets.
func Client(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

const (
	callLimit = 250 * time.Millisecond // for who waits behind a shared count
	maxLocal  = 100_000                // keys that are counted here; beyond it those that are paid for are forgotten, then all
	pingEvery = 2 * time.Second
)

// Limiter counts. Safe for concurrent use.
type Limiter struct {
	link   *valkeylink.Link // nil: there is no Valkey
	log    *slog.Logger
	shared atomic.Pointer[valkey.Client] // nil: away, or there is none
	now    func() time.Time
	m      metrics

	mu    sync.Mutex
	local map[string]time.Time // when all that passed is paid for
}

type metrics struct {
	refused *prometheus.CounterVec
	alone   prometheus.Counter
}

// New makes a Limiter for a Valkey or Redis ≥ 7 at a URL; "" counts in this process alone.
func New(url string, log *slog.Logger, reg prometheus.Registerer) (*Limiter, error) {
	var link *valkeylink.Link
	if url != "" {
		l, err := valkeylink.New(url, "warren-control-limits", time.Second)
		if err != nil {
			return nil, err
		}
		link = l
	}
	l := &Limiter{link: link, log: log, now: time.Now, local: map[string]time.Time{}, m: metrics{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_limit_refused_total", Help: "Attempts beyond a limit, by kind."}, []string{"kind"}),
		alone:   prometheus.NewCounter(prometheus.CounterOpts{Name: "cp_limit_alone_total", Help: "Attempts counted by this replica alone although there is a Valkey."}),
	}}
	if reg != nil {
		reg.MustRegister(l.m.refused, l.m.alone)
	}
	return l, nil
}

// Clock lets another clock say what has been paid back of what is counted here, in this process: attempts of a test may take
// as long as they like. Call it before anything is counted.
func (l *Limiter) Clock(now func() time.Time) { l.now = now }

// String names the task.
func (l *Limiter) String() string { return "limits" }

// Run keeps the connection to Valkey.
func (l *Limiter) Run(ctx context.Context) error {
	if l.link == nil {
		<-ctx.Done()
		return nil
	}
	l.link.Run(ctx, 0, l.session, func(err error) {
		l.log.Warn("valkey is away, limits are counted by each replica alone", "err", err)
	})
	return nil
}

func (l *Limiter) session(ctx context.Context, client valkey.Client, connected func()) error {
	defer l.shared.Store(nil)
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		call, cancel := context.WithTimeout(ctx, time.Second)
		err := client.Do(call, client.B().Ping().Build()).Error()
		cancel()
		if err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		if first {
			connected()
			l.shared.Store(&client)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// script takes 1 of a key. Times are in microseconds, by the server's clock, as replicas' clocks differ. It answers 0,
// or how long to wait. A count that can't be is one that is full: somebody else has written it.
var script = valkey.NewLuaScript(`
local t = redis.call('TIME')
local now, every, burst = t[1] * 1000000 + t[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local paid = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now), now + every * burst)
if paid + every - now > every * burst then return paid + every - now - every * burst end
redis.call('SET', KEYS[1], string.format('%.0f', paid + every), 'PX', math.ceil((paid + every - now) / 1000))
return 0`)

// Take counts one attempt under each of the keys, and says how long to wait if that is too many under any of them; 0:
// it may be made.
func (l *Limiter) Take(ctx context.Context, keys ...Key) (wait time.Duration) {
	for _, k := range keys {
		w := l.take(ctx, k)
		if w > 0 {
			l.m.refused.WithLabelValues(k.kind()).Inc()
		}
		wait = max(wait, w)
	}
	return wait
}

func (k Key) kind() string { return strings.Split(k.name, ":")[2] }

func (l *Limiter) take(ctx context.Context, k Key) time.Duration {
	if c := l.shared.Load(); c != nil {
		call, cancel := context.WithTimeout(ctx, callLimit)
		defer cancel()
		us, err := script.Exec(call, *c, []string{k.name}, []string{fmt.Sprint(k.rate.Every.Microseconds()), fmt.Sprint(k.rate.Burst)}).AsInt64()
		if err == nil {
			return time.Duration(us) * time.Microsecond
		}
	}
	if l.link != nil {
		l.m.alone.Inc()
	}
	return l.alone(k)
}

func (l *Limiter) alone(k Key) time.Duration {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	next, wait := Decide(l.local[k.name], now, k.rate)
	if wait > 0 {
		return wait
	}
	if len(l.local) >= maxLocal {
		l.forgetPaid(now)
	}
	l.local[k.name] = next
	return 0
}

func (l *Limiter) forgetPaid(now time.Time) {
	for name, paid := range l.local {
		if !paid.After(now) {
			delete(l.local, name)
		}
	}
	if len(l.local) >= maxLocal {
		clear(l.local)
	}
}

// Decide is the algorithm: paid is when all that passed will have been paid for. It returns that with one more, or how
// long that one has to wait.
func Decide(paid, now time.Time, r Rate) (next time.Time, wait time.Duration) {
	if paid.Before(now) {
		paid = now
	}
	next = paid.Add(r.Every)
	if over := next.Sub(now) - r.Every*time.Duration(r.Burst); over > 0 {
		return paid, over
	}
	return next, 0
}

// Forget takes back all that was counted under keys: who has signed in made no attempts.
func (l *Limiter) Forget(ctx context.Context, keys ...Key) {
	l.mu.Lock()
	for _, k := range keys {
		delete(l.local, k.name)
	}
	l.mu.Unlock()
	c := l.shared.Load()
	if c == nil {
		return
	}
	call, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	for _, k := range keys {
		_ = (*c).Do(call, (*c).B().Del().Key(k.name).Build()).Error() // it is paid for in a minute or so anyway
	}
}
