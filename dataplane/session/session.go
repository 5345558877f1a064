// Package session recognises visitors by the tokens that the control plane has signed, without asking it.
//
// What a token proves is kept under a hash of the token, the hostname and the browser's secret: a request costs one hash
// and one look, under no lock. Tokens are renewed behind the requests; whoever is revoked is refused from the moment on in
// which the node is told, and what he has open ends (see Open). What has only become stale is renewed before it counts
// again (see stale.go).
package session

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/accesstoken"
)

// Config is what is known of sessions, whole.
type Config struct {
	Keys    map[string]ed25519.PublicKey // of tokens, by kid
	Revoked []Revoked
}

// Revoked ends one session, or all that a subject was given until a moment.
type Revoked struct {
	Session string
	Subject string // if Session is empty
	Stale   bool   // what the subject was given has to be renewed before it counts again; it may be an organization
	Before  time.Time
}

var (
	// ErrRevoked refuses a token that was good.
	ErrRevoked = errors.New("session is revoked")
	// ErrStale refuses a token that says what is true no more. Its renewal has been asked for: see Await.
	ErrStale = errors.New("token is to be renewed first")
	// ErrEnded is what a Renewer says of a session that there is no more.
	ErrEnded = errors.New("session has ended")
)

// Renewer gives a new token for one that is good.
type Renewer interface {
	Renew(ctx context.Context, token string) (string, error)
}

const (
	slots        = 1 << 14 // visitors that are remembered, of two that would have the same place one
	renewals     = 1024    // that wait; more are dropped, and asked for by a later request
	renewWorkers = 8
	renewTime    = 10 * time.Second
	renewAgain   = 30 * time.Second // after one that has failed
)

// Sessions knows visitors. Safe for concurrent use.
type Sessions struct {
	cluster string // id
	renewer Renewer
	log     *slog.Logger
	metrics *metrics

	state  atomic.Pointer[state] // replaced whole by Apply
	cache  [slots]atomic.Pointer[Visitor]
	wanted chan wanted
}

// wanted is a renewal that is to be tried.
type wanted struct {
	v    *Visitor
	done chan struct{} // closed when it was; nil: nobody waits
}

// state is a Config as requests need it.
type state struct {
	keys     map[string]ed25519.PublicKey
	sessions map[string]bool
	subjects map[string]time.Time
	stale    map[string]staleness
}

// New makes a Sessions of a cluster that knows no key. Run renews.
func New(cluster string, renewer Renewer, log *slog.Logger, reg prometheus.Registerer) *Sessions {
	s := &Sessions{cluster: cluster, renewer: renewer, log: log, metrics: newMetrics(reg), wanted: make(chan wanted, renewals)}
	s.state.Store(&state{})
	return s
}

// Apply replaces what is known.
func (s *Sessions) Apply(cfg Config) {
	next := &state{keys: maps.Clone(cfg.Keys), sessions: map[string]bool{}, subjects: map[string]time.Time{}, stale: map[string]staleness{}}
	for _, r := range cfg.Revoked {
		switch {
		case r.Session != "":
			next.sessions[r.Session] = true
		case r.Subject == "":
		case r.Stale:
			if r.Before.After(next.stale[r.Subject].before) {
				next.stale[r.Subject] = staleness{before: r.Before}
			}
		case r.Before.After(next.subjects[r.Subject]):
			next.subjects[r.Subject] = r.Before
		}
	}
	now := time.Now()
	fresh := next.learn(s.state.Load(), now)
	s.state.Store(next)
	s.metrics.revoked.Set(float64(len(next.sessions) + len(next.subjects)))
	s.metrics.stale.Set(float64(len(next.stale)))
	if fresh {
		s.renewStale(now)
	}
}

// Keys are the public keys of tokens.
func (s *Sessions) Keys() map[string]ed25519.PublicKey { return s.state.Load().keys }

// Visitor is somebody whose token was verified.
type Visitor struct {
	Token  string
	Claims *accesstoken.Claims // not to be changed

	id      [sha256.Size]byte
	key     ed25519.PublicKey // that has signed it
	ended   atomic.Bool
	renewAt atomic.Int64 // Unix seconds
	asked   atomic.Pointer[asked]
	next    atomic.Pointer[Visitor]
}

// Find returns whose token it is, if it is good now, on this host and with this browser's secret. If the token was
// renewed meanwhile, the visitor has the new one.
func (s *Sessions) Find(host, token, secret string, now time.Time) (*Visitor, error) {
	v, err := s.find(host, token, secret, now)
	if err == nil && s.state.Load().isStale(v) {
		s.ask(v, now)
		err = ErrStale
	}
	if err != nil {
		s.metrics.refused.Inc()
		return nil, err
	}
	s.due(v, now)
	return v, nil
}

// find is Find, but for whether what the token says is true still.
func (s *Sessions) find(host, token, secret string, now time.Time) (*Visitor, error) {
	id := identify(host, token, secret)
	st := s.state.Load()
	v := s.known(&id)
	if v != nil {
		s.metrics.known.Inc()
		if err := st.check(v, now); err != nil {
			return nil, err
		}
	} else {
		var err error
		if v, err = st.verify(token, now); err == nil {
			err = v.Claims.Check(s.cluster, host, secret, now)
		}
		if err != nil {
			return nil, err
		}
		s.metrics.verified.Inc()
		v.id = id
		s.remember(v, now)
	}
	if n := v.latest(); n != v {
		return n, st.check(n, now)
	}
	return v, nil
}

// known returns who was verified by the same three texts; nil: nobody who is remembered.
func (s *Sessions) known(id *[sha256.Size]byte) *Visitor {
	for _, slot := range s.places(id) {
		if v := slot.Load(); v != nil && v.id == *id {
			return v
		}
	}
	return nil
}

// Still returns the newest token of a visitor, if he may still be here.
func (s *Sessions) Still(v *Visitor, now time.Time) (*Visitor, error) {
	v = v.latest()
	st := s.state.Load()
	if err := st.check(v, now); err != nil {
		return nil, err
	}
	if st.isStale(v) {
		s.ask(v, now)
		if !st.patient(v, now) {
			return nil, ErrStale
		}
	}
	s.due(v, now)
	return v, nil
}

func (v *Visitor) latest() *Visitor {
	for n := v.next.Load(); n != nil; n = v.next.Load() {
		v = n
	}
	return v
}

// identify is the same only for the same three texts, wherever one ends and the next begins.
func identify(host, token, secret string) (id [sha256.Size]byte) {
	b := make([]byte, 0, 1024)
	b = binary.BigEndian.AppendUint32(b, uint32(len(host)))
	b = append(b, host...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(secret)))
	b = append(b, secret...)
	b = append(b, token...)
	return sha256.Sum256(b)
}

// places are the two slots in which a visitor may be.
func (s *Sessions) places(id *[sha256.Size]byte) [2]*atomic.Pointer[Visitor] {
	return [2]*atomic.Pointer[Visitor]{
		&s.cache[binary.BigEndian.Uint32(id[:4])%slots], &s.cache[binary.BigEndian.Uint32(id[4:8])%slots],
	}
}

// remember takes an empty place, that of somebody whose token has expired, or the first one.
func (s *Sessions) remember(v *Visitor, now time.Time) {
	places := s.places(&v.id)
	for _, slot := range places {
		if old := slot.Load(); old == nil || !now.Before(old.Claims.Expires.Time()) {
			slot.Store(v)
			return
		}
	}
	places[0].Store(v)
}

// verify reads a token.
func (st *state) verify(token string, now time.Time) (*Visitor, error) {
	c, err := accesstoken.Verify(token, st.keys)
	if err != nil {
		return nil, err
	}
	v := &Visitor{Token: token, Claims: c, key: st.keys[c.KeyID]}
	v.renewAt.Store(int64(c.Issued + (c.Expires-c.Issued)/3))
	return v, st.check(v, now)
}

// check is what has to be asked at each request.
func (st *state) check(v *Visitor, now time.Time) error {
	if err := v.Claims.CheckTime(now); err != nil {
		return err
	}
	if !v.key.Equal(st.keys[v.Claims.KeyID]) {
		return ErrRevoked // its key is not used any more
	}
	if v.ended.Load() || st.sessions[v.Claims.Session] {
		return ErrRevoked
	}
	if before, ok := st.subjects[v.Claims.Subject]; ok && !v.Claims.IssuedAt().After(before) {
		return ErrRevoked
	}
	return nil
}

// due asks for the renewal of a token of whose life a third is over.
func (s *Sessions) due(v *Visitor, now time.Time) {
	at := v.renewAt.Load()
	if v.Claims.Use != "" { // what a program shows ends when it does: nobody could give it another one
		return
	}
	if now.Unix() < at || !v.renewAt.CompareAndSwap(at, now.Add(renewAgain).Unix()) {
		return
	}
	select {
	case s.wanted <- wanted{v: v}:
	default:
		s.metrics.renewed.WithLabelValues("dropped").Inc()
	}
}

// String names the task.
func (s *Sessions) String() string { return "sessions" }

// Run renews tokens until ctx ends.
func (s *Sessions) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range renewWorkers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case w := <-s.wanted:
					s.renew(ctx, w.v)
					if w.done != nil {
						close(w.done)
					}
				}
			}
		})
	}
	wg.Wait()
	return nil
}

func (s *Sessions) renew(ctx context.Context, v *Visitor) {
	call, cancel := context.WithTimeout(ctx, renewTime)
	token, err := s.renewer.Renew(call, v.Token)
	cancel()
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ErrEnded):
		v.ended.Store(true)
		s.metrics.renewed.WithLabelValues("ended").Inc()
	case err != nil:
		s.metrics.renewed.WithLabelValues("failed").Inc()
		s.log.Debug("session not renewed", "err", err)
	default:
		n, err := s.state.Load().verify(token, time.Now())
		if err != nil || !same(n.Claims, v.Claims) {
			s.metrics.renewed.WithLabelValues("failed").Inc()
			s.log.Warn("session renewed with a token that is not good", "err", err)
			return
		}
		v.become(n)
		s.metrics.renewed.WithLabelValues("ok").Inc()
	}
}

// same reports whether two tokens are of one session in one browser.
func same(a, b *accesstoken.Claims) bool {
	return a.Issuer == b.Issuer && a.Audience == b.Audience && a.Subject == b.Subject && a.Session == b.Session && a.Org == b.Org && a.Binding == b.Binding && a.Use == b.Use
}
