package queue

import (
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Receivers that are away are called again for more than a day, ever more rarely.
func TestRetries(t *testing.T) {
	c, sum := &courier{}, time.Duration(0)
	for i, want := range model.WebhookRetries {
		before := time.Now()
		d := c.NextRetry(&river.Job[store.DeliveryJob]{JobRow: &rivertype.JobRow{Attempt: i + 1}}).Sub(before)
		if d < want || d > want+want/10+time.Minute {
			t.Errorf("after attempt %d: %v, want %v", i+1, d, want)
		}
		sum += want
	}
	if sum < 24*time.Hour {
		t.Errorf("given up after %v", sum)
	}
}
