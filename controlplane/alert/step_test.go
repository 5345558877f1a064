package alert

import (
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

var start = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// run carries an alert on each 5 seconds through a history of conditions: "x" bad, "." good, "?" unknown, and returns
// the notices with when they came.
func run(r *model.AlertRule, history string) (out []string) {
	var a *model.Alert
	for i, c := range history {
		now := start.Add(time.Duration(i) * every)
		next, tell := Step(r, a, Condition{Object: "site_1", Name: "home", Bad: c == 'x', Known: c != '?', Reason: "why"}, now)
		if a = next; tell != Silence {
			out = append(out, string(tell)+" "+now.Sub(start).String())
		}
	}
	return out
}

// Of what somebody has acknowledged, those who were not told yet are not; those who were are told that it is over.
func TestAcknowledgedIsToldToNobody(t *testing.T) {
	r := &model.AlertRule{Silenced: start.Add(time.Minute)}
	bad := Condition{Object: "site_1", Name: "home", Bad: true, Known: true}
	a, tell := Step(r, nil, bad, start)
	if a == nil || tell != Silence || a.Fired.IsZero() {
		t.Fatalf("%+v, %q", a, tell)
	}
	a.Acked, a.AckedBy = start.Add(time.Second), "ann"
	if a, tell = Step(r, a, bad, start.Add(2*time.Minute)); tell != Silence || a.Told || a.AckedBy != "ann" {
		t.Errorf("%+v, %q", a, tell)
	}
	a.Acked, a.AckedBy = time.Time{}, ""
	if a, tell = Step(r, a, bad, start.Add(3*time.Minute)); tell != Firing {
		t.Errorf("taken back: %+v, %q", a, tell)
	}
	a.Acked = start.Add(3 * time.Minute)
	good := Condition{Object: "site_1", Name: "home", Known: true}
	a, _ = Step(r, a, good, start.Add(4*time.Minute))
	if a, tell = Step(r, a, good, start.Add(5*time.Minute)); a != nil || tell != Resolved {
		t.Errorf("over: %+v, %q", a, tell)
	}
}

func TestStep(t *testing.T) {
	minute := model.AlertRule{Hold: time.Minute}
	at := func(r model.AlertRule, silenced time.Duration) model.AlertRule {
		r.Silenced = start.Add(silenced)
		return r
	}
	for _, tt := range []struct {
		name    string
		rule    model.AlertRule
		history string
		want    []string
	}{
		{"nothing", minute, "..........", nil},
		{"at once, and over", model.AlertRule{}, "x........", []string{"firing 0s", "resolved 35s"}},
		{"not for long enough", minute, "xxxxxxxxxxx..............", nil},
		{"for long enough", minute, "xxxxxxxxxxxxxxxx", []string{"firing 1m0s"}},
		{"over", minute, "xxxxxxxxxxxxx..............", []string{"firing 1m0s", "resolved 2m5s"}},
		{"flapping before it fires tells nobody", minute, "xxxxxx.xxxxxx.xxxxxx.xxxxxx.xxxxxx", nil},
		{"flapping after it has fired is one alert", minute, "xxxxxxxxxxxxx...x...x...x...x...xxx.............", []string{"firing 1m0s", "resolved 3m55s"}},
		{"who knows nothing changes nothing", minute, "xxxxxxxxxxxxx??????????????????????xx", []string{"firing 1m0s"}},
		{"who knows nothing begins nothing", minute, "???????????????", nil},
		{"silenced for all of it", at(minute, time.Hour), "xxxxxxxxxxxxxxx..............", nil},
		{"silenced until later", at(minute, 80*time.Second), "xxxxxxxxxxxxxxxxxxxx", []string{"firing 1m20s"}},
	} {
		got := run(&tt.rule, tt.history)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
