package httpfault

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
)

func TestStatus(t *testing.T) {
	for kind, want := range map[fault.Kind]int{fault.Invalid: 422, fault.NotFound: 404, fault.Conflict: 409, fault.Denied: 403, fault.Stale: 412, fault.Unavailable: 503, fault.Internal: 500} {
		if got := Status(fmt.Errorf("doing: %w", fault.New(kind, "x"))); got != want {
			t.Errorf("%v: %d, want %d", kind, got, want)
		}
	}
	for err, want := range map[error]int{errors.New("x"): 500, context.DeadlineExceeded: 503, context.Canceled: 503} {
		if got := Status(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
