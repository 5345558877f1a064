package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Outcome is what became of one request. Times count from the start of the run.
type Outcome struct {
	Sent, Ended time.Duration
	Failure     string // why it failed, in few words; empty when it didn't
}

// Event is something that was done to the cluster while requests went on.
type Event struct {
	Name string
	At   time.Duration
}

// Report is what was seen from outside.
type Report struct {
	Sent, Failed int
	Failures     map[string]int // by reason
	LongestGap   time.Duration  // without a success, from the first request to the last
	Lost         int            // connections that broke, or ended under a request
	Heals        []Heal         // in the order of the events
}

// Heal is how a run got over an event.
type Heal struct {
	Event  string
	Failed int // requests sent between this event and the next, or under way when it happened
	// UnderWay is how many requests were under way when it happened, whatever became of them.
	UnderWay int
	// Healed reports whether requests succeeded before the next event or the end, and After how long it took:
	// from the event to the first success after which none failed. It is 0 when none failed.
	Healed bool
	After  time.Duration
}

// Account makes a report of a run. It counts a request where it was sent: one that takes its time to fail
// doesn't hide that later ones did well.
func Account(outcomes []Outcome, events []Event, lost int) Report {
	r := Report{Sent: len(outcomes), Failures: map[string]int{}, Lost: lost, LongestGap: longestGap(outcomes)}
	bySent := slices.Clone(outcomes)
	slices.SortStableFunc(bySent, func(a, b Outcome) int { return int(a.Sent - b.Sent) })
	for _, o := range bySent {
		if o.Failure != "" {
			r.Failed++
			r.Failures[o.Failure]++
		}
	}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b Event) int { return int(a.At - b.At) })
	for i, e := range events {
		until := time.Duration(1<<63 - 1)
		if i+1 < len(events) {
			until = events[i+1].At
		}
		r.Heals = append(r.Heals, heal(bySent, e, until))
	}
	return r
}

func heal(bySent []Outcome, e Event, until time.Duration) Heal {
	h := Heal{Event: e.Name, Healed: true}
	for _, o := range bySent {
		if o.Ended < e.At || o.Sent >= until {
			continue
		}
		if o.Sent < e.At {
			h.UnderWay++
		}
		switch {
		case o.Failure != "":
			h.Failed++
			h.Healed, h.After = false, 0
		case !h.Healed && o.Sent >= e.At:
			h.Healed, h.After = true, o.Ended-e.At
		}
	}
	return h
}

func longestGap(outcomes []Outcome) (gap time.Duration) {
	if len(outcomes) == 0 {
		return 0
	}
	first, last := outcomes[0].Sent, outcomes[0].Ended
	var successes []time.Duration
	for _, o := range outcomes {
		first, last = min(first, o.Sent), max(last, o.Ended)
		if o.Failure == "" {
			successes = append(successes, o.Ended)
		}
	}
	slices.Sort(successes)
	at := first
	for _, s := range append(successes, last) {
		gap, at = max(gap, s-at), s
	}
	return gap
}

// String is the report in one line.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sent, %d failed", r.Sent, r.Failed)
	for _, reason := range slices.Sorted(maps.Keys(r.Failures)) {
		fmt.Fprintf(&b, ", %d %s", r.Failures[reason], reason)
	}
	fmt.Fprintf(&b, "; longest gap %v; %d connections lost", r.LongestGap.Round(time.Millisecond), r.Lost)
	for _, h := range r.Heals {
		how := "not healed"
		if h.Healed {
			how = "healed after " + h.After.Round(time.Millisecond).String()
		}
		fmt.Fprintf(&b, "; %s: %d failed, %s", h.Event, h.Failed, how)
	}
	return b.String()
}
