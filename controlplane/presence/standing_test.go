package presence

import (
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
)

func TestFree(t *testing.T) {
	a, b := model.NodeID{}.New(), model.NodeID{}.New()
	for _, c := range []struct {
		nodes  map[model.NodeID]Standing
		lasted time.Duration
		want   bool
	}{
		{nil, 0, true},
		{map[model.NodeID]Standing{a: Ready, b: Ready}, 0, true},
		{map[model.NodeID]Standing{a: Ready, b: Behind}, time.Hour, false},
		{map[model.NodeID]Standing{a: Ready, b: Away}, Patience - 1, false},
		{map[model.NodeID]Standing{a: Ready, b: Away}, Patience, true},
	} {
		if got := Free(c.nodes, c.lasted); got != c.want {
			t.Errorf("%v after %v: %v", c.nodes, c.lasted, got)
		}
	}
}
