package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// The challenges of an order are one revision, whatever their number, and so is their end.
func TestChallenges(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	order := model.OrderID{}.New()
	var all []*model.Challenge
	for i := range 2000 {
		c := w.chal
		c.ID, c.Order, c.Name = c.ID.New(), order, fmt.Sprintf("n%d.example.org", i/2)
		c.Value = model.Authorization(fmt.Sprintf("%043d", i))
		all = append(all, &c)
	}
	rev, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.CreateChallenges(ctx, all) })
	if err != nil || rev != 2 {
		t.Fatal(rev, err)
	}
	if b, err := s.Changes(ctx, 1, 5000); err != nil || b.Reload || len(b.Challenges) != len(all) || b.Challenges[all[7].ID].Value != all[7].Value {
		t.Fatalf("%d changes, %v", len(b.Challenges), err)
	}
	expired := w.chal
	expired.ID = expired.ID.New()
	_, err = s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := tx.CreateChallenges(ctx, nil); err != nil {
			t.Error(err)
		}
		if got, err := tx.ListChallengesOfOrder(ctx, order); err != nil || !cmp.Equal(all, got, ignoreMeta) {
			t.Errorf("%d rows, %v", len(got), err)
		}
		if n, err := tx.DeleteChallengesOfOrder(ctx, order); n != 2000 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		if n, err := tx.DeleteChallengesOfOrder(ctx, order); n != 0 || err != nil {
			t.Errorf("%d deleted again, %v", n, err)
		}
		if n, err := tx.DeleteExpiredChallenges(ctx, w.chal.Expires.Add(-time.Second)); n != 0 || err != nil {
			t.Errorf("%d deleted before their time, %v", n, err)
		}
		if n, err := tx.DeleteExpiredChallenges(ctx, w.chal.Expires); n != 1 || err != nil {
			t.Errorf("%d deleted at their time, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := s.Load(ctx); err != nil || len(b.Challenges) != 0 {
		t.Errorf("%d left, %v", len(b.Challenges), err)
	}
}

// What nobody may publish is refused by the database, whoever writes, and nothing of the statement stays.
func TestChallengesRefused(t *testing.T) {
	s, w, ctx := storetest.New(t), newWorld(t), t.Context()
	w.create(t, s)
	stranger := &model.Organization{ID: model.OrgID{}.New(), Name: "stranger"}
	theirs := &model.Domain{ID: model.DomainID{}.New(), Org: stranger.ID, Name: "stranger.net", Pool: w.pool.ID}
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := tx.CreateOrganization(ctx, stranger); err != nil {
			return err
		}
		return tx.CreateDomain(ctx, theirs)
	})
	if err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("v", 43)
	for name, c := range map[string]struct {
		field string
		make  func(*model.Challenge)
	}{
		"another organization's name": {"name", func(c *model.Challenge) { c.Name = "stranger.net" }},
		"below it":                    {"name", func(c *model.Challenge) { c.Name = "a.b.stranger.net" }},
		"ours, by a stranger":         {"name", func(c *model.Challenge) { c.Org = stranger.ID }},
		"above ours":                  {"name", func(c *model.Challenge) { c.Name = "org" }},
		"beside ours":                 {"name", func(c *model.Challenge) { c.Name = "notexample.org" }},
		"an unknown organization":     {"name", func(c *model.Challenge) { c.Org = c.Org.New() }},
		"a wildcard":                  {"name", func(c *model.Challenge) { c.Name = "*.example.org" }},
		"no canonical name":           {"name", func(c *model.Challenge) { c.Name = "Example.org" }},
		"no room for the label": {"name", func(c *model.Challenge) {
			c.Name = strings.Repeat(strings.Repeat("a", 50)+".", 4) + strings.Repeat("b", 25) + ".example.org"
		}},
		"another type":                  {"type", func(c *model.Challenge) { c.Type = "smoke-01" }},
		"a token that climbs":           {"token", func(c *model.Challenge) { c.Token = "../../etc/passwd" }},
		"a token that is encoded":       {"token", func(c *model.Challenge) { c.Token = "%2e%2e%2f" }},
		"a token with a line's end":     {"token", func(c *model.Challenge) { c.Token = "token\n" }},
		"an empty token":                {"token", func(c *model.Challenge) { c.Token = "" }},
		"a long token":                  {"token", func(c *model.Challenge) { c.Token = strings.Repeat("a", 129) }},
		"a value that is no digest":     {"value", func(c *model.Challenge) { c.Value = "v=spf1 -all" }},
		"a value with a line's end":     {"value", func(c *model.Challenge) { c.Value = model.Authorization(digest + "\n") }},
		"a page":                        {"value", func(c *model.Challenge) { c.Type, c.Value = model.HTTP01, "<script>" }},
		"an authorization of another":   {"value", func(c *model.Challenge) { c.Type, c.Value = model.HTTP01, model.Authorization("tokem."+digest) }},
		"an authorization and more":     {"value", func(c *model.Challenge) { c.Type, c.Value = model.HTTP01, model.Authorization("token."+digest+".x") }},
		"a digest for a file":           {"value", func(c *model.Challenge) { c.Type = model.HTTP01 }},
		"an authorization for a record": {"value", func(c *model.Challenge) { c.Value = model.Authorization("token." + digest) }},
	} {
		good, bad := w.chal, w.chal
		good.ID, bad.ID = good.ID.New(), bad.ID.New()
		c.make(&bad)
		_, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.CreateChallenges(ctx, []*model.Challenge{&good, &bad}) })
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Invalid || f.Field != c.field {
			t.Errorf("%s: %v; want one about %q", name, err, c.field)
		}
		if err != nil && strings.Contains(err.Error(), digest) {
			t.Errorf("%s: the error tells the value: %v", name, err)
		}
	}
	if b, err := s.Load(ctx); err != nil || len(b.Challenges) != 1 {
		t.Errorf("%d rows, %v", len(b.Challenges), err)
	}
	good := w.chal
	good.ID, good.Type, good.Value = good.ID.New(), model.HTTP01, model.Authorization("token."+digest)
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.CreateChallenges(ctx, []*model.Challenge{&good}) }); err != nil {
		t.Error(err)
	}
}
