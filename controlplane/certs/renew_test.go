package certs

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

func life(d time.Duration) Lifetime { return Lifetime{start, start.Add(d)} }

func TestWindow(t *testing.T) {
	for _, c := range []struct{ life, from, to time.Duration }{
		{90 * day, 60 * day, 64*day + 12*time.Hour},
		{45 * day, 30 * day, 32*day + 6*time.Hour},
		{10 * day, 5 * day, 5*day + 12*time.Hour},
		{6 * day, 3 * day, 3*day + 7*time.Hour + 12*time.Minute},
	} {
		if from, to := Window(life(c.life)); !from.Equal(start.Add(c.from)) || !to.Equal(start.Add(c.to)) {
			t.Errorf("of %v: %v to %v", c.life, from.Sub(start), to.Sub(start))
		}
	}
}

// What was issued together is renewed all over the window.
func TestChooseIsUniform(t *testing.T) {
	var tenths [10]int
	r := rand.New(rand.NewPCG(1, 2))
	end := start.Add(10 * time.Hour)
	for range 10000 {
		at := Choose(start, end, r.Float64())
		if at.Before(start) || !at.Before(end) {
			t.Fatal(at)
		}
		tenths[int(at.Sub(start)/time.Hour)]++
	}
	for i, n := range tenths {
		if n < 850 || n > 1150 {
			t.Errorf("%d of 10000 in tenth %d", n, i)
		}
	}
}

// Every broken answer of an authority, to each of 10,000 certificates, changes no renewal: not even by a second,
// and none is due sooner.
func TestBrokenSuggestionsOrderNothing(t *testing.T) {
	l := life(90 * day)
	broken := map[string]*Suggestion{
		"none":              nil, // 404, 5xx, HTML, no answer
		"zero":              {},
		"no end":            {Start: start.Add(day)},
		"inverted":          {start.Add(20 * day), start.Add(10 * day)},
		"empty":             {start.Add(20 * day), start.Add(20 * day)},
		"far past":          {time.Unix(0, 0), time.Unix(3600, 0)},
		"before it began":   {start.Add(-40 * day), start.Add(-30 * day)},
		"begins before it":  {start.Add(-2 * day), start.Add(10 * day)},
		"after it ends":     {start.Add(80 * day), start.Add(100 * day)},
		"in a thousand yrs": {start.AddDate(1000, 0, 0), start.AddDate(1000, 0, 1)},
		"in its last hour":  {start.Add(90*day - time.Hour), start.Add(90 * day)},
	}
	for n := range 10000 {
		m := Succeed(model.ManagedCertificate{}, model.CertificateID{}.New(), l, true, start, float64(n)/10000)
		first := m.RenewAt
		now := start
		for name, answer := range broken {
			now = now.Add(6 * time.Hour)
			m = Resuggest(m, l, answer, time.Time{}, now, 0.5)
			if !m.RenewAt.Equal(first) || !m.NextAttempt.Equal(first) {
				t.Fatalf("%s moved the renewal from %v to %v", name, first, m.RenewAt)
			}
			if d := m.ARIPollAt.Sub(now); d != 6*time.Hour {
				t.Fatalf("asked again after %v", d)
			}
		}
		if !now.Before(first) {
			t.Fatal("the test outlived the certificate's renewal")
		}
	}
}

func TestSuggestionIsDrawnOnce(t *testing.T) {
	l := life(90 * day)
	m := Succeed(model.ManagedCertificate{}, model.CertificateID{}.New(), l, true, start, 0.9)
	w := &Suggestion{start.Add(50 * day), start.Add(52 * day)}
	m = Resuggest(m, l, w, start.Add(2*time.Hour), start, 0.25)
	if want := start.Add(50*day + 12*time.Hour); !m.RenewAt.Equal(want) || !m.NextAttempt.Equal(want) {
		t.Errorf("renewed at %v", m.RenewAt.Sub(start))
	}
	if !m.ARIPollAt.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("asked again after %v", m.ARIPollAt.Sub(start))
	}
	drawn := m.RenewAt
	for n := range 10 { // the same answer, another dice
		if m = Resuggest(m, l, w, time.Time{}, start.Add(time.Duration(n)*6*time.Hour), float64(n)/10); !m.RenewAt.Equal(drawn) {
			t.Fatalf("drawn again: %v", m.RenewAt.Sub(start))
		}
	}
	if m = Resuggest(m, l, nil, time.Time{}, start, 0); !m.RenewAt.Equal(drawn) {
		t.Error("no answer undid the last good one")
	}
	// The certificate is about to be revoked: a window that has passed is now.
	past := &Suggestion{start.Add(-time.Hour), start.Add(time.Hour)}
	if m = Resuggest(m, l, past, time.Time{}, start.Add(5*day), 0.5); m.NextAttempt.After(start.Add(5 * day)) {
		t.Errorf("a window in the past is due at %v", m.NextAttempt.Sub(start))
	}
}

// A window that reaches to the end of a certificate's life, or lies there, leaves time for attempts that fail; also where an older program
// has drawn from it.
func TestSuggestionIsNeverTooLate(t *testing.T) {
	for _, length := range []time.Duration{6 * day, 45 * day, 90 * day} {
		l := life(length)
		latest := l.NotAfter.Add(-length / 12)
		for _, w := range []Suggestion{{start.Add(length / 2), l.NotAfter}, {latest.Add(-time.Hour), l.NotAfter}, {latest, l.NotAfter}, {l.NotAfter.Add(-time.Second), l.NotAfter}} {
			for _, random := range []float64{0, 0.5, 0.999} {
				fresh := Succeed(model.ManagedCertificate{}, model.CertificateID{}.New(), l, true, start, random)
				older := fresh
				older.RenewAt, older.NextAttempt, older.ARIStart, older.ARIEnd = l.NotAfter.Add(-time.Second), l.NotAfter.Add(-time.Second), w.Start, w.End
				for name, m := range map[string]model.ManagedCertificate{"new": fresh, "drawn too late": older} {
					if m = Resuggest(m, l, &w, time.Time{}, start, random); !m.RenewAt.Before(latest) || !m.NextAttempt.Equal(m.RenewAt) {
						t.Errorf("of %v, window %v to %v, %s: renewed at %v", length, w.Start.Sub(start), w.End.Sub(start), name, m.RenewAt.Sub(start))
					}
					drawn := m.RenewAt
					if m = Resuggest(m, l, &w, time.Time{}, start, 1-random); !m.RenewAt.Equal(drawn) {
						t.Errorf("of %v, %s: drawn again", length, name)
					}
				}
			}
		}
	}
}

// While attempts fail the ladder says when, not the authority's window.
func TestSuggestionLeavesTheLadder(t *testing.T) {
	l := life(90 * day)
	m := Succeed(model.ManagedCertificate{}, model.CertificateID{}.New(), l, true, start, 0)
	m = Fail(m, "caa", false, time.Time{}, start.Add(60*day), 0)
	next := m.NextAttempt
	if m = Resuggest(m, l, &Suggestion{start, start.Add(time.Hour)}, time.Time{}, start.Add(60*day), 0); !m.NextAttempt.Equal(next) {
		t.Errorf("next attempt moved from %v to %v", next, m.NextAttempt)
	}
}

// A renewal that somebody asked for is not forgotten because the authority suggests another time.
func TestSuggestionLeavesWhatIsAskedFor(t *testing.T) {
	l := life(90 * day)
	m := Succeed(model.ManagedCertificate{}, model.CertificateID{}.New(), l, true, start, 0)
	m.NextAttempt = start.Add(time.Second)
	for _, answer := range []*Suggestion{nil, {start.Add(50 * day), start.Add(52 * day)}, {start.Add(60 * day), start.Add(62 * day)}} {
		if m = Resuggest(m, l, answer, time.Time{}, start.Add(2*time.Second), 0.5); !m.NextAttempt.Equal(start.Add(time.Second)) {
			t.Errorf("after %v the attempt is at %v", answer, m.NextAttempt.Sub(start))
		}
	}
	if want := start.Add(61 * day); !m.RenewAt.Equal(want) {
		t.Errorf("renewed at %v", m.RenewAt.Sub(start))
	}
}

func TestPollAt(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{0: 6 * time.Hour, time.Second: time.Minute, 3 * time.Hour: 3 * time.Hour, 40 * day: day, -time.Hour: time.Minute} {
		at := time.Time{}
		if after != 0 {
			at = start.Add(after)
		}
		if got := PollAt(start, at).Sub(start); got != want {
			t.Errorf("Retry-After %v: %v, want %v", after, got, want)
		}
	}
}

func TestLadder(t *testing.T) {
	m := model.ManagedCertificate{}
	now := start
	var last time.Duration
	for n := range 30 {
		m = Fail(m, "p", false, time.Time{}, now, 0)
		wait := m.NextAttempt.Sub(now)
		if wait < last || wait > 6*time.Hour || n == 0 && wait != time.Minute || n > 10 && wait != 6*time.Hour {
			t.Fatalf("failure %d: %v after %v", n+1, wait, last)
		}
		last, now = wait, m.NextAttempt
	}
	if m.LadderStep != 30 || m.LastProblem != "p" || !m.FailingSince.Equal(start) {
		t.Errorf("%+v", m)
	}
	if d := Ladder(9, 0.999); d < 5*time.Hour+24*time.Minute || d >= 6*time.Hour {
		t.Errorf("jitter makes %v of 6 h", d)
	}
	until := now.Add(30*time.Hour + 7*time.Second)
	if got := Fail(m, "429", false, until, now, 0); !got.NextAttempt.Equal(until) {
		t.Errorf("Retry-After: %v, want %v", got.NextAttempt, until)
	}
	if got := Fail(model.ManagedCertificate{}, "rejected", true, time.Time{}, now, 0); got.NextAttempt.Sub(now) != 24*time.Hour {
		t.Errorf("terminal: %v", got.NextAttempt.Sub(now))
	}
	if got := Succeed(m, model.CertificateID{}.New(), life(90*day), false, start, 0); got.LadderStep != 0 || got.LastProblem != "" || !got.FailingSince.IsZero() || !got.NextAttempt.Equal(got.RenewAt) {
		t.Errorf("after success: %+v", got)
	}
}
