package budget

import (
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// Over any time, no more is taken than the burst and what has flown in since.
func TestTake(t *testing.T) {
	l := Limits(model.IssuerLimits{})[model.BudgetNewOrders]
	b := l.Full(model.BucketKey{Kind: model.BudgetNewOrders}, start)
	take := func(renewal bool, now time.Time) (n int, at time.Time) {
		for ok := true; ; n++ {
			if b, at, ok = l.Take(b, renewal, now); !ok {
				return n, at
			}
		}
	}
	n, at := take(false, start)
	if n != 200 {
		t.Errorf("%d new orders, want 200: a third is kept for renewals", n)
	}
	if got := l.Left(b, false, start); got != 0 {
		t.Errorf("%d left", got)
	}
	if wait := at.Sub(start); wait < 36*time.Second || wait > 38*time.Second {
		t.Errorf("next in %v, want 36 s", wait)
	}
	if n, _ := take(false, at); n != 1 {
		t.Errorf("%d when it said that there would be one", n)
	}
	if n, _ := take(true, at); n != 100 {
		t.Errorf("%d renewals, want the 100 that are kept", n)
	}
	if n, _ := take(true, at.Add(-time.Hour)); n != 0 {
		t.Errorf("%d after the clock went back", n)
	}
	if n, _ := take(true, at.Add(3*time.Hour)); n != 300 {
		t.Errorf("%d after the window, want 300", n)
	}
	if n, _ := take(true, at.Add(300*time.Hour)); n != 300 {
		t.Errorf("%d after a long time, want 300", n)
	}
}

func TestSmallLimitsWorkForNewOrders(t *testing.T) {
	l := Limits(model.IssuerLimits{PerSet: 1})[model.BudgetSet]
	if _, _, ok := l.Take(l.Full(model.BucketKey{}, start), false, start); !ok {
		t.Error("a limit of one lets nothing new through")
	}
}

func TestKeys(t *testing.T) {
	got := ForCertificate([]string{"*.example.co.uk", "a.example.org", "b.example.org", "example.co.uk"})
	want := []model.BucketKey{
		{Kind: model.BudgetSet, Key: "*.example.co.uk a.example.org b.example.org example.co.uk"},
		{Kind: model.BudgetDomain, Key: "example.co.uk"}, {Kind: model.BudgetDomain, Key: "example.org"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := ForValidations([]string{"*.a.org", "a.org"}); len(got) != 1 || got[0].Key != "a.org" {
		t.Errorf("apex and wildcard are validated as %v", got)
	}
	for name, want := range map[string]string{"*.a.b.example.org": "example.org", "co.uk": "co.uk", "x.github.io": "x.github.io", "host.lan": "host.lan", "lan": "lan"} {
		if got := Registered(name); got != want {
			t.Errorf("%s belongs to %s, want %s", name, got, want)
		}
	}
}
