package session

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	cluster = "cluster-1"
	host    = "wiki.example"
	secret  = "secret of the browser"
)

// plane is a control plane that signs what it is asked for.
type plane struct {
	key    ed25519.PrivateKey
	keys   map[string]ed25519.PublicKey
	asked  atomic.Int64
	answer atomic.Pointer[func(token string) (string, error)]
}

func newPlane(t testing.TB) *plane {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{key: private, keys: map[string]ed25519.PublicKey{"k": public}}
	p.say(func(string) (string, error) { return "", errors.New("away") })
	return p
}

func (p *plane) say(f func(token string) (string, error)) { p.answer.Store(&f) }

func (p *plane) Renew(_ context.Context, token string) (string, error) {
	p.asked.Add(1)
	return (*p.answer.Load())(token)
}

func (p *plane) claims(now time.Time) *accesstoken.Claims {
	return &accesstoken.Claims{Issuer: cluster, Audience: host, Subject: "user_1", Session: "session_1", Org: "org_1", Groups: []string{"before"},
		Issued: accesstoken.At(now), Expires: accesstoken.At(now.Add(accesstoken.Life)), Binding: accesstoken.Binding(secret)}
}

func (p *plane) sign(t testing.TB, c *accesstoken.Claims) string {
	t.Helper()
	token, err := accesstoken.Sign(p.key, "k", c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (p *plane) config(revoked ...Revoked) Config {
	return Config{Keys: p.keys, Revoked: revoked}
}

func newSessions(p *plane) *Sessions {
	s := New(cluster, p, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	s.Apply(p.config())
	return s
}

// run runs tasks until the test ends, inside of a synctest bubble.
func run(t *testing.T, tasks ...interface{ Run(context.Context) error }) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, task := range tasks {
		wg.Go(func() {
			if err := task.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func TestT33_NodesRefuseWhatIsNotExactlyTheToken(t *testing.T) {
	p := newPlane(t)
	s := newSessions(p)
	now := time.Now()
	token := p.sign(t, p.claims(now))
	for range 2 { // before it is known, and after
		for i := 0; i < len(token); i += 13 {
			b := []byte(token)
			b[i] ^= 1
			for _, bad := range []string{token[:i], string(b), token + token[:i] + "x"} {
				if v, err := s.Find(host, bad, secret, now); err == nil {
					t.Fatalf("%q is taken for %+v", bad, v.Claims)
				}
			}
		}
		for _, tt := range []struct{ host, secret string }{{"other.example", secret}, {host, "other"}, {host, ""}, {host + secret[:1], secret[1:]}, {"", secret}} {
			if _, err := s.Find(tt.host, token, tt.secret, now); err == nil {
				t.Errorf("good for %+v", tt)
			}
		}
		if _, err := s.Find(host, token, secret, now); err != nil {
			t.Fatal(err)
		}
	}
}

// TestT9_NobodyIsTakenForAnother has 1,000 users at once whose credentials look alike: the same name and mail address, ids
// that begin and end alike, parts of one in another's, and each other's tokens and secrets.
func TestT9_NobodyIsTakenForAnother(t *testing.T) {
	p := newPlane(t)
	s := newSessions(p)
	now := time.Now()
	type user struct{ sub, host, token, secret string }
	users := make([]user, 1000)
	for i := range users {
		u := user{sub: fmt.Sprintf("user_%04d", i), host: []string{host, "a" + host, "wiki.exampl"}[i%3], secret: strings.Repeat("s", 20) + fmt.Sprint(i%500)}
		c := p.claims(now)
		c.Subject, c.Audience, c.Session, c.Name, c.Email, c.Binding = u.sub, u.host, "session_"+fmt.Sprint(i%10), "Alice", "alice@example.org", accesstoken.Binding(u.secret)
		u.token = p.sign(t, c)
		users[i] = u
	}
	var wg sync.WaitGroup
	for i, u := range users {
		wg.Go(func() {
			other := users[(i+500)%len(users)] // with the same secret
			next := users[(i+3)%len(users)]    // of the same host
			for round := range 20 {
				v, err := s.Find(u.host, u.token, u.secret, now)
				if err != nil || v.Claims.Subject != u.sub {
					t.Errorf("%s is taken for %v, %v", u.sub, v, err)
					return
				}
				if round > 0 {
					continue // what is refused costs a signature each time
				}
				if v, err := s.Find(next.host, next.token, u.secret, now); err == nil {
					t.Errorf("%s with the secret of another is taken for %s", u.sub, v.Claims.Subject)
					return
				}
				if v, err := s.Find(u.host, other.token, u.secret, now); err == nil && (v.Claims.Subject != other.sub || u.host != other.host) {
					t.Errorf("the token of %s is taken for %s", other.sub, v.Claims.Subject)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Two visitors in one place take turns; neither is the other.
func TestOnePlaceForTwo(t *testing.T) {
	p := newPlane(t)
	s := newSessions(p)
	now := time.Now()
	var visitors [3]*Visitor
	for i := range visitors {
		c := p.claims(now)
		c.Subject = fmt.Sprint("user_", i)
		v, err := s.Find(host, p.sign(t, c), secret, now)
		if err != nil {
			t.Fatal(err)
		}
		visitors[i] = v
	}
	for i := range s.cache { // wherever one is looked for, the third is found
		s.cache[i].Store(visitors[2])
	}
	for i, v := range visitors {
		got, err := s.Find(host, v.Token, secret, now)
		if err != nil || got.Claims.Subject != fmt.Sprint("user_", i) {
			t.Errorf("%d: %v, %v", i, got, err)
		}
	}
}

// TestOfflineBound is what a node promises that hears nothing: who was let in stays in until his token expires, and not
// longer, whatever he has open.
func TestOfflineBound(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		p := newPlane(t) // away
		s, open := newSessions(p), NewOpen()
		defer run(t, s, open)()
		start := time.Now()
		token := p.sign(t, p.claims(start))
		v, err := s.Find(host, token, secret, start)
		if err != nil {
			t.Fatal(err)
		}
		var ended atomic.Int64
		defer open.Add(func(now time.Time) bool { _, err := s.Still(v, now); return err == nil }, func() { ended.Store(int64(time.Since(start))) })()
		for time.Since(start) < accesstoken.Life-time.Second {
			if _, err := s.Find(host, token, secret, time.Now()); err != nil {
				t.Fatalf("refused after %v: %v", time.Since(start), err)
			}
			time.Sleep(500 * time.Millisecond)
		}
		if ended.Load() != 0 {
			t.Errorf("cut after %v", time.Duration(ended.Load()))
		}
		time.Sleep(time.Until(start.Add(accesstoken.Life)))
		if _, err := s.Find(host, token, secret, time.Now()); !errors.Is(err, accesstoken.ErrToken) {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(2 * reviewEvery)
		if got := time.Duration(ended.Load()); got < accesstoken.Life || got > accesstoken.Life+reviewEvery {
			t.Errorf("what was open ended after %v", got)
		}
		if n := p.asked.Load(); n < 10 || n > 25 {
			t.Errorf("renewal was tried %d times in %v", n, accesstoken.Life)
		}
	})
}

func TestRenewal(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		p := newPlane(t)
		s, open := newSessions(p), NewOpen()
		defer run(t, s, open)()
		p.say(func(string) (string, error) {
			c := p.claims(time.Now())
			c.Groups = []string{"after"}
			return accesstoken.Sign(p.key, "k", c)
		})
		start := time.Now()
		token := p.sign(t, p.claims(start))
		find := func() *Visitor {
			t.Helper()
			v, err := s.Find(host, token, secret, time.Now())
			if err != nil {
				t.Fatalf("after %v: %v", time.Since(start), err)
			}
			synctest.Wait()
			return v
		}
		v := find()
		time.Sleep(accesstoken.Life/3 - time.Second)
		if find(); p.asked.Load() != 0 {
			t.Fatal("renewed too early")
		}
		time.Sleep(time.Second)
		if got := find(); got != v { // this request does not wait
			t.Error("a request had the new token before there was one")
		}
		got := find()
		if got.Token == token || got.Claims.Groups[0] != "after" || p.asked.Load() != 1 {
			t.Errorf("%+v after %d renewals", got.Claims, p.asked.Load())
		}
		// Without a request, but with something open, it goes on.
		var ended atomic.Bool
		leave := open.Add(func(now time.Time) bool { _, err := s.Still(v, now); return err == nil }, func() { ended.Store(true) })
		time.Sleep(4 * accesstoken.Life)
		if n := p.asked.Load(); ended.Load() || n < 10 || n > 14 {
			t.Errorf("ended: %t, %d renewals in an hour", ended.Load(), n)
		}
		leave()
		time.Sleep(accesstoken.Life)
		if n := p.asked.Load(); n > 14 {
			t.Errorf("%d renewals of what nobody has open", n)
		}
		if _, err := s.Find(host, token, secret, time.Now()); err == nil {
			t.Error("the first token is still good")
		}
	})
}

// What the control plane says of a session that has ended, or gives for another, lets nobody stay.
func TestBadRenewals(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(p *plane, c *accesstoken.Claims) (string, error)
		stays  bool
	}{
		"away":     {func(*plane, *accesstoken.Claims) (string, error) { return "", errors.New("away") }, true},
		"ended":    {func(*plane, *accesstoken.Claims) (string, error) { return "", fmt.Errorf("renew: %w", ErrEnded) }, false},
		"nonsense": {func(*plane, *accesstoken.Claims) (string, error) { return "a.b.c", nil }, true},
		"other user": {func(p *plane, c *accesstoken.Claims) (string, error) {
			c.Subject = "user_2"
			return accesstoken.Sign(p.key, "k", c)
		}, true},
		"other host": {func(p *plane, c *accesstoken.Claims) (string, error) {
			c.Audience = "b"
			return accesstoken.Sign(p.key, "k", c)
		}, true},
		"for a day": {func(p *plane, c *accesstoken.Claims) (string, error) {
			c.Expires += 86400
			return accesstoken.Sign(p.key, "k", c)
		}, true},
		"another key": {func(p *plane, c *accesstoken.Claims) (string, error) { return accesstoken.Sign(p.key, "l", c) }, true},
		"other secret": {func(p *plane, c *accesstoken.Claims) (string, error) {
			c.Binding = "x"
			return accesstoken.Sign(p.key, "k", c)
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				p := newPlane(t)
				s := newSessions(p)
				defer run(t, s)()
				p.say(func(string) (string, error) { return tt.answer(p, p.claims(time.Now())) })
				token := p.sign(t, p.claims(time.Now()))
				time.Sleep(accesstoken.Life / 2)
				if _, err := s.Find(host, token, secret, time.Now()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				v, err := s.Find(host, token, secret, time.Now())
				if p.asked.Load() != 1 || (err == nil) != tt.stays || err == nil && v.Token != token {
					t.Errorf("%v, %v after %d calls", v, err, p.asked.Load())
				}
			})
		})
	}
}

func TestRevocation(t *testing.T) {
	p := newPlane(t)
	s, open := newSessions(p), NewOpen()
	now := time.Now()
	token := p.sign(t, p.claims(now))
	v, err := s.Find(host, token, secret, now)
	if err != nil {
		t.Fatal(err)
	}
	good := func(now time.Time) bool { _, err := s.Still(v, now); return err == nil }
	for _, tt := range []struct {
		name    string
		revoked []Revoked
		keys    map[string]ed25519.PublicKey
		in      bool
	}{
		{"nobody", nil, p.keys, true},
		{"another session", []Revoked{{Session: "session_2"}}, p.keys, true},
		{"the session", []Revoked{{Session: "session_2"}, {Session: "session_1"}}, p.keys, false},
		{"nobody any more", nil, p.keys, true},
		{"another user", []Revoked{{Subject: "user_2", Before: now.Add(time.Hour)}}, p.keys, true},
		{"the user, before", []Revoked{{Subject: "user_1", Before: now.Add(-time.Second)}}, p.keys, true},
		{"the user, now", []Revoked{{Subject: "user_1", Before: now}}, p.keys, false},
		{"the user, twice", []Revoked{{Subject: "user_1", Before: now}, {Subject: "user_1", Before: now.Add(-time.Hour)}}, p.keys, false},
		{"his key is not used any more", nil, newPlane(t).keys, false},
		{"no key", nil, nil, false},
	} {
		cfg := p.config(tt.revoked...)
		cfg.Keys = tt.keys
		s.Apply(cfg)
		ended := false
		leave := open.Add(good, func() { ended = true })
		open.review(now)
		leave()
		if ended == tt.in {
			t.Errorf("%s: what is open has ended: %t", tt.name, ended)
		}
		if _, err := s.Find(host, token, secret, now); (err == nil) != tt.in {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// What is open is looked at when somebody says so, not at the next tick.
func TestReviewIsImmediate(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		open := NewOpen()
		defer run(t, open)()
		ended := 0
		gone := open.Add(func(time.Time) bool { return false }, func() { t.Error("ended although it had left") })
		gone()
		for i := range 200 {
			defer open.Add(func(time.Time) bool { return i%2 == 0 }, func() { ended++ })()
		}
		open.Review()
		open.Review()
		synctest.Wait()
		if ended != 100 {
			t.Errorf("%d have ended, want 100", ended)
		}
		time.Sleep(10 * reviewEvery)
		if ended != 100 {
			t.Errorf("some ended twice: %d", ended)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	p := newPlane(b)
	s := newSessions(p)
	now := time.Now()
	token := p.sign(b, p.claims(now))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Find(host, token, secret, now); err != nil {
				b.Error(err)
			}
		}
	})
}
