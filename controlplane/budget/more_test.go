package budget

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

func TestMore(t *testing.T) {
	l, now := Limit{Burst: 300, Window: 3 * time.Hour}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // one in 36 s
	b := l.Full(model.BucketKey{Kind: model.BudgetNewOrders}, now)
	if at := l.More(b, now); !at.IsZero() {
		t.Errorf("more than full at %v", at)
	}
	b, _, _ = l.Take(b, false, now)
	if at := l.More(b, now); at.Before(now.Add(36*time.Second)) || at.After(now.Add(38*time.Second)) {
		t.Errorf("one more after %v", at.Sub(now))
	}
	later := now.Add(30 * time.Second)
	if at := l.More(b, later); at.Before(now.Add(36*time.Second)) || at.After(now.Add(38*time.Second)) {
		t.Errorf("a while later one more after %v", at.Sub(now))
	}
	if l.Left(b, false, l.More(b, now)) != 200 || l.Reserved() != 100 {
		t.Errorf("left %d, reserved %d", l.Left(b, false, l.More(b, now)), l.Reserved())
	}
}
