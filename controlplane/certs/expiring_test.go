package certs

import (
	"slices"
	"testing"
	"time"
)

// Each certificate is warned of at four moments of its life, tightest last, never after its end.
func TestWarnings(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name string
		life time.Duration
		left []time.Duration // before the end, at the first moment of each warning
	}{
		{"a year", 365 * day, []time.Duration{30 * day, 14 * day, 7 * day, day}},
		{"90 days", 90 * day, []time.Duration{30 * day, 14 * day, 7 * day, day}},
		{"45 days", 45 * day, []time.Duration{15 * day, 7 * day, 84 * time.Hour, 12 * time.Hour}},
		{"6 days", 6 * day, []time.Duration{48 * time.Hour, 22*time.Hour + 24*time.Minute, 11*time.Hour + 12*time.Minute, 96 * time.Minute}},
	} {
		l := Lifetime{begin, begin.Add(tc.life)}
		var days []int
		var left []time.Duration
		for at := begin; at.Before(l.NotAfter.Add(day)); at = at.Add(time.Minute) {
			if w := Warning(l, at); w != 0 && !slices.Contains(days, w) {
				days, left = append(days, w), append(left, l.NotAfter.Sub(at))
			}
		}
		if !slices.Equal(days, Warnings[:]) {
			t.Errorf("%s: %v", tc.name, days)
		}
		for i := range min(len(left), len(tc.left)) {
			if d := tc.left[i] - left[i]; d < 0 || d >= time.Minute {
				t.Errorf("%s: warning %d when %v are left, want %v", tc.name, i, left[i], tc.left[i])
			}
		}
		if Warning(l, l.NotAfter) != 0 {
			t.Errorf("%s: warned of at its end", tc.name)
		}
	}
}

func TestRenewalOnItsWayIsNoWarning(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := Lifetime{begin, begin.Add(90 * day)}
	at := func(left time.Duration) time.Time { return l.NotAfter.Add(-left) }
	for _, tc := range []struct {
		name string
		u    Upkeep
		now  time.Time
		want int
	}{
		{"nobody renews it", Upkeep{}, at(30 * day), 30},
		{"to be renewed soon", Upkeep{RenewAt: at(28 * day)}, at(30 * day), 0},
		{"being renewed", Upkeep{RenewAt: at(30 * day)}, at(30*day - time.Hour), 0},
		{"should have been renewed", Upkeep{RenewAt: at(30 * day)}, at(29 * day), 30},
		{"fails", Upkeep{RenewAt: at(28 * day), Failing: true}, at(30 * day), 30},
		{"late, whatever is said", Upkeep{RenewAt: at(10 * day)}, at(14 * day), 14},
		{"well", Upkeep{RenewAt: at(28 * day)}, at(31 * day), 0},
	} {
		if got := tc.u.Due(l, tc.now); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}
