package presence

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/presence/presencetest"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/identity"
)

// history feeds a judge. The clock is a number.
type history struct {
	copies
	now    time.Time
	raised int
}

func newHistory() *history { return &history{now: time.Unix(1_800_000_000, 0)} }

// says lets a process report some times, so far apart, to a replica.
func (h *history) says(process, replica string, times int, apart time.Duration) {
	for range times {
		if h.observe(process, replica, h.now, h.now) {
			h.raised++
		}
		h.now = h.now.Add(apart)
	}
}

func TestOneProcessAfterTheOtherIsNoCopy(t *testing.T) {
	for name, play := range map[string]func(h *history){
		"it moves between replicas": func(h *history) {
			for range 100 {
				h.says("a", "r1", 1, 100*time.Millisecond)
				h.says("a", "r2", 1, 100*time.Millisecond)
			}
		},
		"it is restarted": func(h *history) {
			h.says("a", "r1", 10, 2*time.Second)
			h.says("b", "r1", 10, 2*time.Second)
			h.says("c", "r2", 10, 2*time.Second)
		},
		"the last words of the old one come late, in a burst, by two ways": func(h *history) {
			h.says("a", "r1", 10, 2*time.Second)
			h.says("b", "r2", 2, 2*time.Second)
			h.says("a", "r1", 20, 40*time.Millisecond)
			h.says("b", "r2", 2, 2*time.Second)
			h.says("a", "r3", 20, time.Millisecond)
			h.says("b", "r2", 10, 2*time.Second)
		},
		"it crashes again and again, and each time last words come late": func(h *history) {
			for i := range 200 {
				h.says(fmt.Sprint(i), "r1", 2, time.Second)
				if i > 0 {
					h.says(fmt.Sprint(i-1), "r2", 1, time.Second)
					h.says(fmt.Sprint(i-1), "r3", 1, time.Second)
				}
			}
		},
		"a table with its last report is read over and over": func(h *history) {
			said := h.now
			h.says("a", "r1", 1, time.Second)
			h.says("b", "r2", 1, time.Second)
			for range 100 {
				if h.observe("a", "r1", said, h.now) {
					h.raised++
				}
				h.says("b", "r2", 1, time.Second)
			}
		},
		"programs from before say nothing of it": func(h *history) {
			for range 100 {
				h.says("", "r1", 1, time.Second)
				h.says("", "r2", 1, time.Second)
			}
		},
	} {
		h := newHistory()
		play(h)
		if h.raised != 0 || h.active(h.now) {
			t.Errorf("%s: %d alarms, %+v", name, h.raised, h.alarm)
		}
		if len(h.processes) > rememberAll {
			t.Errorf("%s: %d processes are remembered", name, len(h.processes))
		}
	}
}

func TestACopyIsNoticed(t *testing.T) {
	h := newHistory()
	h.says("a", "r1", 10, 2*time.Second)
	began := h.now
	both := func(d time.Duration) {
		for end := h.now.Add(d); h.now.Before(end); {
			h.says("b", "r2", 1, time.Second)
			h.says("a", "r1", 1, time.Second)
		}
	}
	both(10 * time.Second)
	if h.raised != 1 || !h.active(h.now) || h.alarm.Since.Before(began) {
		t.Fatalf("within ten seconds: %d alarms, %+v", h.raised, h.alarm)
	}
	both(time.Hour)
	if h.raised != 1 || !h.active(h.now) {
		t.Errorf("after an hour: %d alarms, %+v", h.raised, h.alarm)
	}

	// One of them ends: the alarm does, too, whichever it was.
	h.says("a", "r1", int(copiedFor/(2*time.Second))+5, 2*time.Second)
	if h.active(h.now) {
		t.Errorf("one is left, and the alarm stays: %+v", h.alarm)
	}
	both(10 * time.Second)
	if h.raised != 2 || !h.active(h.now) {
		t.Errorf("the copy is back: %d alarms, %+v", h.raised, h.alarm)
	}
}

// A laptop sleeps, its copy runs and ends, the laptop wakes: they never ran at the same time.
func TestACopyIsNoticedAfterItHasEnded(t *testing.T) {
	h := newHistory()
	h.says("a", "r1", 10, 2*time.Second)
	h.now = h.now.Add(time.Hour)
	h.says("b", "r1", 10, 2*time.Second)
	h.now = h.now.Add(time.Hour)
	h.says("a", "r1", 10, 2*time.Second)
	if h.raised != 1 {
		t.Errorf("%d alarms", h.raised)
	}
}

func instance(process string) Entry {
	return Entry{Key: Key{identity.Connector, "connector_a"}, Since: time.Now(), Seen: time.Now(), Applied: 1, Instance: process}
}

// One replica is told of both by turns.
func TestCopiesAtOneReplica(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		s := New("r1", Memory{}, slog.New(slog.NewTextHandler(&log, nil)), reg)
		k := instance("").Key
		for range 5 {
			if _, ok := s.Copied(k); ok {
				t.Fatal("too early")
			}
			s.Report(t.Context(), instance("a"))
			time.Sleep(2 * time.Second)
		}
		for range 5 {
			s.Report(t.Context(), instance("b"))
			time.Sleep(time.Second)
			s.Report(t.Context(), instance("a"))
			time.Sleep(time.Second)
		}
		c, ok := s.Copied(k)
		if !ok || time.Since(c.Since) > 10*time.Second {
			t.Errorf("copied: %v, %+v", ok, c)
		}
		if n := strings.Count(log.String(), "two processes use one identity"); n != 1 || !strings.Contains(log.String(), "id=connector_a") {
			t.Errorf("%d times in the log:\n%s", n, &log)
		}
		value := func(kind string) float64 {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					if f.GetName() == "cp_presence_copied" && m.GetLabel()[0].GetValue() == kind {
						return m.GetGauge().GetValue()
					}
				}
			}
			return -1
		}
		if c, n := value("connector"), value("node"); c != 1 || n != 0 {
			t.Errorf("metric: %v connectors, %v nodes", c, n)
		}
		time.Sleep(copiedFor)
		if _, ok := s.Copied(k); ok || value("connector") != 0 {
			t.Error("the alarm has no end")
		}
	})
}

// Each replica is told of one of them: both know, and so does one that is told of none.
func TestCopiesAtDifferentReplicas(t *testing.T) {
	server := presencetest.Start(t)
	start := func(replica string) *Store {
		bus, err := NewValkey(server.URL(), replica, quiet())
		if err != nil {
			t.Fatal(err)
		}
		s, _ := runs(t, replica, bus)
		return s
	}
	a, b, c := start("ra"), start("rb"), start("rc")
	k := instance("").Key
	rev := 1
	within(t, "all replicas know", func() bool {
		rev++
		for s, process := range map[*Store]string{a: "a", b: "b"} {
			e := instance(process)
			e.Applied = 1
			e.Version = fmt.Sprint(rev) // news that others hear of at once
			s.Report(t.Context(), e)
		}
		time.Sleep(50 * time.Millisecond)
		for _, s := range []*Store{a, b, c} {
			if _, ok := s.Copied(k); !ok {
				return false
			}
		}
		return true
	})
}
