package model

import (
	"testing"
	"time"
)

func TestSecurityMet(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	old, fresh := Meta{Created: now.Add(-time.Hour)}, Meta{Created: now.Add(-time.Hour + time.Second)}
	for name, tt := range map[string]struct {
		s    Security
		v    Session
		want bool
	}{
		"nothing is wanted":            {Security{}, Session{Meta: old}, true},
		"no second factor":             {Security{RequireSecondFactor: true}, Session{Meta: fresh}, false},
		"a second factor":              {Security{RequireSecondFactor: true}, Session{Meta: old, SecondFactor: now.Add(-time.Minute)}, true},
		"young enough":                 {Security{MaxSession: time.Hour}, Session{Meta: fresh}, true},
		"as old as it may not be":      {Security{MaxSession: time.Hour}, Session{Meta: old}, false},
		"used just now, and too old":   {Security{MaxSession: time.Hour}, Session{Meta: old, Seen: now, SecondFactor: now}, false},
		"both, and too old":            {Security{RequireSecondFactor: true, MaxSession: time.Hour}, Session{Meta: old, SecondFactor: now}, false},
		"both, without second factor":  {Security{RequireSecondFactor: true, MaxSession: time.Hour}, Session{Meta: fresh}, false},
		"both, and it has what it may": {Security{RequireSecondFactor: true, MaxSession: time.Hour}, Session{Meta: fresh, SecondFactor: fresh.Created}, true},
	} {
		if got := tt.s.Met(&tt.v, now); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
