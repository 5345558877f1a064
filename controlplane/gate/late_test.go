package gate

import (
	"errors"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
)

// A node that is connected and does not apply a challenge for long is asked, and by the policy withdraw counts for what it answers.
func TestBehindForLong(t *testing.T) {
	wrong := errors.New("DNS over UDP: NXDOMAIN for _acme-challenge.example.org.")
	for _, tt := range []struct {
		name   string
		policy Policy
		age    time.Duration
		says   error
		want   string
		out    int
	}{
		{"just written", Withdraw, lag - 10*time.Second, errSilent, "n1: has not applied revision 1", 0},
		{"silent", Withdraw, lag, errSilent, "", 1},
		{"silent, waited for", Wait, lag, errSilent, "n1: has not applied revision 1, 192.0.2.1: does not answer", 0},
		{"answers wrongly", Withdraw, lag, wrong, "n1: has not applied revision 1, 192.0.2.1: " + wrong.Error(), 0},
		{"has applied these, and not all else", Withdraw, lag, nil, "", 0},
		{"has applied these, waited for", Wait, lag, nil, "n1: has not applied revision 1", 0},
	} {
		g, c, all := newGate(t, tt.policy)
		c.standing[node("n1")] = presence.Behind
		c.says["192.0.2.1"] = tt.says
		for _, ch := range all {
			ch.Expires = time.Now().Add(model.ChallengeLifetime - tt.age)
		}
		missing, out, err := g.Look(t.Context(), 1, all)
		got := ""
		if len(missing) > 0 {
			got = (&NotReady{missing}).Error()
		}
		if err != nil || got != tt.want || len(out) != tt.out {
			t.Errorf("%s: %q, out %v, %v; want %q", tt.name, got, out, err, tt.want)
		}
		if len(missing) > 0 && (&NotReady{missing}).Unserved() {
			t.Errorf("%s: another way would not help", tt.name)
		}
	}
}
