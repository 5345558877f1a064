package orders

import (
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

// A certificate waits for nodes that are there, and not for ever: the next renewal and revocations come after it.
func TestNodesThatDoNotApplyAreLeft(t *testing.T) {
	w := &turn{order: model.Order{State: model.OrderPublished}}
	for _, tt := range []struct {
		behind []string
		since  time.Duration
		state  model.OrderState
		wait   bool
	}{
		{nil, 2 * time.Second, model.OrderAcked, false},
		{nil, 2 * mostBehind, model.OrderAcked, false},
		{[]string{"n1", "n2"}, time.Minute, model.OrderPublished, true},
		{[]string{"n1", "n2"}, mostBehind - time.Second, model.OrderPublished, true},
		{[]string{"n1", "n2"}, mostBehind, model.OrderAcked, false},
	} {
		out := w.applied(tt.behind, tt.since)
		if out.order.State != tt.state || (out.wait > inline) != tt.wait {
			t.Errorf("%v behind after %v: %s, wait %v", tt.behind, tt.since, out.order.State, out.wait)
		}
		if names := strings.Contains(out.order.Problem, "2 nodes do not have the certificate: n1, n2"); names != (len(tt.behind) > 0) {
			t.Errorf("%v behind after %v: %q", tt.behind, tt.since, out.order.Problem)
		}
		if done := out.order.State == model.OrderAcked; (out.left > 0) != (done && len(tt.behind) > 0) || (out.took > 0) != (len(tt.behind) == 0) {
			t.Errorf("%v behind after %v: %d left, took %v", tt.behind, tt.since, out.left, out.took)
		}
	}
}
