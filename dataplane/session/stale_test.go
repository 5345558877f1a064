package session

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// issued signs what is true now.
func (p *plane) issued(t testing.TB, groups ...string) string {
	c := p.claims(time.Now())
	c.Issue(time.Now())
	c.Groups = groups
	return p.sign(t, c)
}

// stale is that what a subject was given until now has to be renewed.
func stale(subject string) Revoked {
	time.Sleep(2 * time.Millisecond)
	return Revoked{Subject: subject, Stale: true, Before: time.Now().Add(-time.Millisecond)}
}

// Somebody's groups are changed while he has something open at two nodes: both ask what is true now, before they believe
// another request of his and within seconds for what is open. Nobody has to sign in again.
func TestAChangeIsSeenAtTwoNodes(t *testing.T) {
	for _, who := range []string{"user_1", "org_1"} {
		t.Run(who, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				p := newPlane(t)
				p.say(func(string) (string, error) { return p.issued(t, "after"), nil })
				token := p.issued(t, "before")
				var nodes [2]*Sessions
				var ended [2]atomic.Bool
				for i := range nodes {
					s, open := newSessions(p), NewOpen()
					nodes[i] = s
					stop := run(t, s, open)
					defer stop()
					v, err := s.Find(host, token, secret, time.Now())
					if err != nil {
						t.Fatal(err)
					}
					defer open.Add(func(now time.Time) bool { // as a policy that lets only "before" in
						v, err := s.Still(v, now)
						return err == nil && v.Claims.Groups[0] == "before"
					}, func() { ended[i].Store(true) })()
				}
				change := stale(who)
				for i, s := range nodes {
					s.Apply(p.config(change))
					if v, err := s.Find(host, token, secret, time.Now()); !errors.Is(err, ErrStale) && (err != nil || v.Claims.Groups[0] != "after") {
						t.Errorf("node %d believes %+v, %v", i, v, err)
					}
					v, err := s.Await(t.Context(), host, token, secret)
					if err != nil || v.Claims.Groups[0] != "after" {
						t.Errorf("node %d: %+v, %v", i, v, err)
					}
				}
				time.Sleep(reviewEvery)
				if !ended[0].Load() || !ended[1].Load() {
					t.Error("what is open was not judged again")
				}
				if n := p.asked.Load(); n != 2 {
					t.Errorf("%d renewals, want one of each node", n)
				}
				for _, s := range nodes { // the same news again is no news
					s.Apply(p.config(stale("user_2"), change))
					if _, err := s.Find(host, token, secret, time.Now()); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// Who can't be asked about is not believed: not at a new request, and after a moment not for what is open either. A node that
// has not heard of the change goes on until the token expires: see TestOfflineBound.
func TestStaleAndTheControlPlaneIsAway(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		p := newPlane(t) // away
		s, open := newSessions(p), NewOpen()
		defer run(t, s, open)()
		token := p.issued(t)
		v, err := s.Find(host, token, secret, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		change := stale("user_1")
		start := time.Now()
		var ended atomic.Int64
		defer open.Add(func(now time.Time) bool { _, err := s.Still(v, now); return err == nil }, func() { ended.Store(int64(time.Since(start))) })()
		s.Apply(p.config(change))
		for range 5 {
			if _, err := s.Await(t.Context(), host, token, secret); !errors.Is(err, ErrStale) {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		if got := time.Duration(ended.Load()); got < patience || got > patience+reviewEvery {
			t.Errorf("what was open ended after %v", got)
		}
		if n := p.asked.Load(); n < 3 || n > 7 {
			t.Errorf("asked %d times in 5 s", n)
		}
		p.say(func(string) (string, error) { return p.issued(t, "after"), nil })
		if v, err := s.Await(t.Context(), host, token, secret); err != nil || v.Claims.Groups[0] != "after" {
			t.Errorf("it is back, and says %+v, %v", v, err)
		}
	})
}

// A request waits for the renewal, and not for longer than a moment; what a program shows nobody renews.
func TestHowLongARequestWaits(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		p := newPlane(t)
		s := newSessions(p)
		defer run(t, s)()
		takes := patience / 2
		p.say(func(string) (string, error) { time.Sleep(takes); return p.issued(t), nil })
		token := p.issued(t)
		await := func() (time.Duration, error) {
			start := time.Now()
			_, err := s.Await(t.Context(), host, token, secret)
			return time.Since(start), err
		}
		s.Apply(p.config(stale("user_1")))
		if _, err := s.Find(host, token, secret, time.Now()); !errors.Is(err, ErrStale) { // of somebody who was not known
			t.Fatal(err)
		}
		if d, err := await(); err != nil || d != takes {
			t.Errorf("after %v: %v", d, err)
		}
		takes = time.Hour
		s.Apply(p.config(stale("user_1")))
		if d, err := await(); !errors.Is(err, ErrStale) || d != patience {
			t.Errorf("after %v: %v", d, err)
		}
		c := p.claims(time.Now())
		c.Subject, c.Use = "user_2", accesstoken.UseProgram
		token = p.sign(t, c)
		time.Sleep(time.Second)
		s.Apply(p.config(stale("user_2")))
		asked := p.asked.Load()
		if d, err := await(); !errors.Is(err, ErrStale) || d != 0 || p.asked.Load() != asked {
			t.Errorf("of a program after %v: %v", d, err)
		}
		time.Sleep(time.Hour)
	})
}

// Who has left an organization gets no other token: he is out, wherever he was.
func TestStaleAndNobodyAnyMore(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		p := newPlane(t)
		s := newSessions(p)
		defer run(t, s)()
		p.say(func(string) (string, error) { return "", fmt.Errorf("renew: %w", ErrEnded) })
		token := p.issued(t)
		v, err := s.Find(host, token, secret, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(p.config(stale("org_1")))
		if _, err := s.Await(t.Context(), host, token, secret); !errors.Is(err, ErrRevoked) {
			t.Error(err)
		}
		if _, err := s.Still(v, time.Now()); !errors.Is(err, ErrRevoked) {
			t.Error(err)
		}
	})
}

// What is taken back ends at a moment: a token of the same second, but of later, is believed at once.
func TestMomentsWithinASecond(t *testing.T) {
	p := newPlane(t)
	s := newSessions(p)
	second := time.Unix(1_800_000_000, 0)
	at := func(us int) time.Time { return second.Add(time.Duration(us) * time.Microsecond) }
	for _, tt := range []struct {
		issued, before int
		in             bool
	}{{100, 99, true}, {100, 100, false}, {100, 101, false}, {999_999, 999_998, true}, {0, 0, false}, {0, -1, true}} {
		c := p.claims(at(tt.issued))
		c.Issue(at(tt.issued))
		token := p.sign(t, c)
		for _, r := range []Revoked{{Subject: "user_1", Before: at(tt.before)}, {Subject: "user_1", Stale: true, Before: at(tt.before)}} {
			s.Apply(p.config(r))
			if _, err := s.Find(host, token, secret, at(tt.issued)); (err == nil) != tt.in {
				t.Errorf("issued at %d µs, taken back at %d µs (stale: %t): %v", tt.issued, tt.before, r.Stale, err)
			}
		}
	}
}

// More visitors change at once than may wait for a renewal: whoever was left out has his with his next request.
func TestThousandsAreStaleAtOnce(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		const visitors = 1100
		p := newPlane(t)
		s := newSessions(p)
		defer run(t, s)()
		p.say(func(token string) (string, error) {
			time.Sleep(time.Millisecond)
			c, err := accesstoken.Verify(token, p.keys)
			if err != nil {
				return "", err
			}
			c.Issue(time.Now())
			return accesstoken.Sign(p.key, "k", c)
		})
		tokens := make([]string, visitors)
		for i := range tokens {
			c := p.claims(time.Now())
			c.Subject = fmt.Sprint("user_", i)
			tokens[i] = p.sign(t, c)
			if _, err := s.Find(host, tokens[i], secret, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		s.Apply(p.config(stale("org_1")))
		in := 0
		for _, token := range tokens {
			if _, err := s.Await(t.Context(), host, token, secret); err == nil {
				in++
			}
		}
		if in != visitors {
			t.Errorf("%d of %d are believed again", in, visitors)
		}
	})
}
