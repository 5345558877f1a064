// Package password makes and checks hashes of passwords within a bound of memory.
//
// Hashes are argon2id in PHC strings: each says its own parameters, so that these may be raised while old hashes
// are still good. As many are computed at a time as there are processors; a few more may wait, the others are
// told to come again. Checking the password of nobody costs what checking somebody's does.
package password

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/fault"
)

// Parameters are what new hashes cost: 19 MiB and two passes (OWASP's second choice), some 50 ms of a processor.
var Parameters = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// Options are the bounds of a Hasher. The zero value is usable.
type Options struct {
	AtOnce  int           // hashes computed at a time; 0: as many as there are processors
	Waiting int           // callers that wait beyond these; 0: 64. Who comes when they are as many is told to come again
	Wait    time.Duration // how long one waits at most; 0: 10 s
	Reg     prometheus.Registerer
}

// Hasher computes hashes. Safe for concurrent use.
type Hasher struct {
	o     Options
	slots chan struct{} // one for each that is computed
	queue chan struct{} // one for each that waits
	dummy func() string
	m     metrics
}

type metrics struct {
	derived *prometheus.CounterVec
	refused prometheus.Counter
	waiting prometheus.GaugeFunc
}

// New makes a Hasher.
func New(o Options) *Hasher {
	if o.AtOnce == 0 {
		o.AtOnce = runtime.GOMAXPROCS(0)
	}
	if o.Waiting == 0 {
		o.Waiting = 64
	}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	h := &Hasher{o: o, slots: make(chan struct{}, o.AtOnce), queue: make(chan struct{}, o.Waiting)}
	h.dummy = sync.OnceValue(func() string {
		text, err := argon2id.CreateHash("nobody's", &Parameters)
		if err != nil {
			panic(err) // there is no randomness: nothing can be done safely any more
		}
		return text
	})
	h.m = metrics{
		derived: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_signin_argon2_total", Help: "Password hashes computed, by what for."}, []string{"for"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "cp_signin_argon2_refused_total", Help: "Password hashes not computed because too many waited."}),
		waiting: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cp_signin_argon2_waiting", Help: "Callers that wait for a password hash."},
			func() float64 { return float64(len(h.queue)) }),
	}
	if o.Reg != nil {
		o.Reg.MustRegister(h.m.derived, h.m.refused, h.m.waiting)
	}
	return h
}

// errBusy is what callers are told beyond the bound.
var errBusy = fault.New(fault.Unavailable, "too many people sign in at this moment, try again")

// enter takes a slot; the caller calls leave when it is done.
func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-h.slots }
	select {
	case h.slots <- struct{}{}:
		return leave, nil
	default:
	}
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	default:
		h.m.refused.Inc()
		return nil, errBusy
	}
	limit := time.NewTimer(h.o.Wait)
	defer limit.Stop()
	select {
	case h.slots <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-limit.C:
		h.m.refused.Inc()
		return nil, errBusy
	}
}

// Hash makes the hash of a password that Check has let pass.
func (h *Hasher) Hash(ctx context.Context, text string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	h.m.derived.WithLabelValues("hash").Inc()
	out, err := argon2id.CreateHash(canonical(text), &Parameters)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return out, nil
}

// Verify says whether a text is the password of a hash, and whether the hash should be made anew because
// parameters have changed. The hash "" is nobody's: the work is done all the same.
func (h *Hasher) Verify(ctx context.Context, hash, text string) (ok, stale bool, err error) {
	return h.VerifyFound(ctx, text, func() (string, error) { return hash, nil })
}

// VerifyFound is Verify of a hash that is looked for only when its turn has come: whoever is told to come again has
// not kept the database busy either.
func (h *Hasher) VerifyFound(ctx context.Context, text string, find func() (hash string, err error)) (ok, stale bool, err error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	hash, err := find()
	if err != nil {
		return false, false, err
	}
	h.m.derived.WithLabelValues("verify").Inc()
	nobody := hash == ""
	if nobody {
		hash = h.dummy()
	}
	if len(text) > maxBytes {
		text = ""
	}
	ok, p, err := argon2id.CheckHash(canonical(text), hash)
	if err != nil {
		return false, false, fmt.Errorf("verify password: %w", err)
	}
	return ok && !nobody, *p != Parameters, nil
}
