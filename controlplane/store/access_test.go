package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/accesstoken"
)

// A code is good once, also if two replicas are asked at the same time, and only for so long.
func TestAccessCodes(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	want := store.AccessCode{Host: "wiki.example", Binding: accesstoken.Binding("x"), Session: uuid.New(), Mail: "a@example.org"}
	tx := func(do func(*store.Tx) error) error {
		_, err := s.Tx(ctx, "test", do)
		return err
	}
	if err := tx(func(tx *store.Tx) error {
		return errors.Join(tx.CreateAccessCode(ctx, "one", want), tx.CreateAccessCode(ctx, "two", want))
	}); err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 8)
	for range cap(results) {
		go func() {
			results <- tx(func(tx *store.Tx) error {
				got, good, err := tx.TakeAccessCode(ctx, "one", time.Minute)
				if err == nil && (got != want || !good) {
					t.Errorf("%+v, %t", got, good)
				}
				return err
			})
		}()
	}
	taken := 0
	for range cap(results) {
		if err := <-results; err == nil {
			taken++
		} else if fault.Of(err) != fault.NotFound {
			t.Error(err)
		}
	}
	if taken != 1 {
		t.Errorf("taken %d times", taken)
	}
	if err := tx(func(tx *store.Tx) error {
		_, good, err := tx.TakeAccessCode(ctx, "two", 0)
		if good {
			t.Error("good for no time at all")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestMailCodes(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	v := &store.MailCode{ID: model.MailCodeID{}.New(), Hash: make([]byte, 32), Mail: "a@example.org", Host: "wiki.example", Binding: accesstoken.Binding("x")}
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.CreateMailCode(ctx, v) })
	if err != nil {
		t.Fatal(err)
	}
	try := func(life time.Duration) (got *store.MailCode) {
		t.Helper()
		if _, err := s.Tx(ctx, "test", func(tx *store.Tx) (err error) { got, err = tx.TryMailCode(ctx, v.ID, life); return err }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	for i := 1; i <= 3; i++ {
		if got := try(time.Minute); got.Tries != i || !got.Good || got.Mail != v.Mail || got.Host != v.Host {
			t.Errorf("%+v at try %d", got, i)
		}
	}
	if try(0).Good {
		t.Error("good for no time at all")
	}
	_, err = s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := tx.DeleteMailCode(ctx, v.ID); err != nil {
			return err
		}
		_, err := tx.TryMailCode(ctx, v.ID, time.Minute)
		return err
	})
	if fault.Of(err) != fault.NotFound {
		t.Error(err)
	}
}

// What nodes are told of access is in the feed.
func TestAccessIsInTheFeed(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.Revoke(ctx, "session_1", "") })
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Changes(ctx, rev-1, 100)
	if err != nil || len(b.Revocations) != 1 || b.SignInURL != nil {
		t.Errorf("%+v, %v", b, err)
	}
	for _, r := range b.Revocations {
		if r.Session != "session_1" || r.Subject != "" || time.Since(r.Before).Abs() > time.Minute {
			t.Errorf("%+v", r)
		}
	}
	_, err = s.Tx(ctx, "test", func(tx *store.Tx) error {
		_, err := tx.SetClusterID(ctx, uuid.New())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"https://warren.example.org", "https://warren.example.org", ""} {
		if rev, err = s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.SetSignInURL(ctx, url) }); err != nil {
			t.Fatal(err)
		}
		all, err := s.Load(ctx)
		if err != nil || all.SignInURL == nil || *all.SignInURL != url {
			t.Errorf("%q: %v, %v", url, all.SignInURL, err)
		}
	}
	if b, err := s.Changes(ctx, rev-1, 100); err != nil || b.SignInURL == nil || *b.SignInURL != "" {
		t.Errorf("%v, %v", b.SignInURL, err)
	}
	for _, bad := range []string{"https://", "ftp://example.org", "https://example.org/path", "example.org"} {
		if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.SetSignInURL(ctx, bad) }); fault.Of(err) != fault.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
