package access_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/access"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/policy"
)

// guesses is how many attempts pass in a row, none of them right.
func guesses(a *access.Attempts, policy string, from func(int) netip.Addr, most int) (n int) {
	for i := range most {
		if _, err := a.Take(policy, from(i), time.Now()); err == nil {
			n++
		}
	}
	return n
}

func address(format string) func(int) netip.Addr {
	return func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(format, i)) }
}

func TestAttempts(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		a := access.NewAttempts()
		one := func(int) netip.Addr { return netip.MustParseAddr("192.0.2.1") }
		if n := guesses(a, "p", one, 100); n != 5 {
			t.Errorf("one client: %d guesses, want 5", n)
		}
		if n := guesses(a, "p", func(int) netip.Addr { return netip.MustParseAddr("::ffff:192.0.2.1") }, 100); n != 0 {
			t.Errorf("the same client in another spelling: %d more", n)
		}
		if n := guesses(a, "p", address("2001:db8::%x"), 100); n != 5 {
			t.Errorf("one /64: %d guesses, want 5", n)
		}
		if n := guesses(a, "q", one, 100); n != 5 {
			t.Errorf("another policy: %d guesses, want 5", n)
		}
		if n := guesses(a, "p", address("2001:db8:%x::1"), 1000); n != 50 {
			t.Errorf("all others: %d guesses, want 50", n)
		}
		time.Sleep(time.Minute)
		if n := guesses(a, "p", one, 100); n != 1 {
			t.Errorf("a minute later: %d guesses, want 1", n)
		}
		time.Sleep(24 * time.Hour)
		if n := guesses(a, "p", address("2001:db8:%x::1"), 1000); n != 60 {
			t.Errorf("a day later: %d guesses, want 60", n)
		}
		var many *access.TooManyError
		if _, err := a.Take("p", netip.MustParseAddr("192.0.2.9"), time.Now()); !errors.As(err, &many) || many.RetryAfter != 30*time.Second {
			t.Errorf("%v, want one that says to come again in 30 s", err)
		}
	})
}

// The nodes of a pool allow together what one would allow alone.
func TestAttemptsInSum(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		for _, nodes := range []int{2, 7, 30} {
			sum := 0
			var all []*access.Attempts
			for range nodes {
				a := access.NewAttempts()
				a.SetNodes(nodes)
				all = append(all, a)
				sum += guesses(a, "p", address("2001:db8:%x::1"), 1000)
			}
			if sum > 60 {
				t.Errorf("%d nodes: %d guesses at once", nodes, sum)
			}
			for range 24 {
				time.Sleep(time.Hour)
				for _, a := range all {
					sum += guesses(a, "p", address("2001:db8:%x::1"), 200)
				}
			}
			if most := 60 + 24*60*2; sum > most {
				t.Errorf("%d nodes: %d guesses in a day, want %d at most", nodes, sum, most)
			}
		}
	})
}

// A right PIN is no attempt, and no right PIN is looked at after too many wrong ones.
func TestTry(t *testing.T) {
	a := newAccess(access.Options{})
	p := compiled(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{PINHash: cheap(t, "123456"), Basic: []policy.Basic{{User: "ada", PasswordHash: cheap(t, "lovelace")}}}})
	try := func(way policy.Way, user, secret, from string) error {
		_, err := a.Try(t.Context(), p, way, user, secret, netip.MustParseAddr(from))
		return err
	}
	for range 20 {
		if err := try(policy.WayPIN, "", "123456", "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		if err := try(policy.WayPIN, "", fmt.Sprintf("00000%d", i), "192.0.2.1"); !errors.Is(err, access.ErrWrong) {
			t.Errorf("wrong PIN %d: %v", i, err)
		}
	}
	if err := try(policy.WayBasic, "eve", "lovelace", "192.0.2.1"); !errors.Is(err, access.ErrWrong) {
		t.Errorf("a user who is not there: %v", err)
	}
	if err := try(policy.WayPassword, "", "123456", "192.0.2.1"); !isTooMany(err) {
		t.Errorf("after five wrong ones: %v", err)
	}
	if err := try(policy.WayBasic, "ada", "lovelace", "192.0.2.1"); !isTooMany(err) {
		t.Errorf("a right one after too many wrong ones: %v", err)
	}
	if err := try(policy.WayBasic, "ada", "lovelace", "192.0.2.2"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}

func isTooMany(err error) bool {
	_, ok := errors.AsType[*access.TooManyError](err)
	return ok
}
