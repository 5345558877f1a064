package lab

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAccount(t *testing.T) {
	const s = time.Second
	ok := func(at time.Duration) Outcome { return Outcome{at, at + s/10, ""} }
	bad := func(sent, ended time.Duration, why string) Outcome { return Outcome{sent, ended, why} }
	for _, c := range []struct {
		name     string
		outcomes []Outcome
		events   []Event
		want     Report
	}{
		{"nothing", nil, nil, Report{Failures: map[string]int{}}},
		{
			"nothing failed", []Outcome{ok(0), ok(s), ok(2 * s)},
			[]Event{{"kill", s / 2}},
			Report{Sent: 3, Failures: map[string]int{}, LongestGap: s, Heals: []Heal{{"kill", 0, 0, true, 0}}},
		},
		{
			"healed, though a request goes on to fail slowly and one succeeded in between",
			[]Outcome{ok(0), bad(s, 6*s, "timeout"), ok(2 * s), bad(3*s, 3*s, "refused"), ok(4 * s), ok(5 * s)},
			[]Event{{"kill", s / 2}},
			Report{
				Sent: 6, Failed: 2, Failures: map[string]int{"timeout": 1, "refused": 1}, LongestGap: 2 * s,
				Heals: []Heal{{"kill", 2, 0, true, 4*s + s/10 - s/2}},
			},
		},
		{
			"a request under way is the event's, one that had ended is not",
			[]Outcome{bad(0, s/10, "reset"), bad(s, 3*s, "reset"), ok(4 * s)},
			[]Event{{"kill", 2 * s}},
			Report{
				Sent: 3, Failed: 2, Failures: map[string]int{"reset": 2}, LongestGap: 4*s + s/10,
				Heals: []Heal{{"kill", 1, 1, true, 2*s + s/10}},
			},
		},
		{
			"each event has its own time; the last has no end",
			[]Outcome{bad(2*s, 2*s, "refused"), ok(s), bad(6*s, 6*s, "refused"), ok(4 * s), bad(8*s, 8*s, "refused")},
			[]Event{{"second", 5 * s}, {"first", 3 * s / 2}},
			Report{
				Sent: 5, Failed: 3, Failures: map[string]int{"refused": 3}, LongestGap: 4*s - s/10,
				Heals: []Heal{{"first", 1, 0, true, 5*s/2 + s/10}, {"second", 2, 0, false, 0}},
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Account(c.outcomes, c.events, 0)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReportSaysAllInOneLine(t *testing.T) {
	r := Report{
		Sent: 10, Failed: 3, Failures: map[string]int{"timeout": 1, "refused": 2}, LongestGap: 1500 * time.Millisecond, Lost: 4,
		Heals: []Heal{{"kill n1", 3, 1, true, 420 * time.Millisecond}, {"kill n2", 0, 0, false, 0}},
	}
	want := "10 sent, 3 failed, 2 refused, 1 timeout; longest gap 1.5s; 4 connections lost; kill n1: 3 failed, healed after 420ms; kill n2: 0 failed, not healed"
	if got := r.String(); got != want {
		t.Errorf("%s", got)
	}
}
