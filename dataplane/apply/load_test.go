package apply

import "testing"

// A load that goes up and down is told once; one that has changed is told soon.
func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name    string
		loads   []int // measured, each for a minute
		swing   int   // up and down by so much, from look to look
		changes int   // at most, of what is told
		want    int   // told in the end, within a third
	}{
		{"nothing", []int{0}, 0, 0, 0},
		{"hardly anything", []int{10}, 8, 0, 0},
		{"half", []int{500}, 0, 6, 500},
		{"around half", []int{500}, 150, 6, 500},
		{"around a power of two", []int{128}, 40, 5, 128},
		{"up a little", []int{400, 500}, 0, 6, 400},
		{"up", []int{100, 900}, 0, 12, 900},
		{"down", []int{900, 100}, 0, 12, 100},
		{"and idle", []int{900, 0}, 0, 14, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l load
			told, changes := 0, 0
			for _, now := range tt.loads {
				for i := range 120 {
					swing := tt.swing
					if i%2 == 0 {
						swing = -swing
					}
					if next := l.observe(now + swing); next != told {
						told, changes = next, changes+1
					}
				}
			}
			if off := max(told-tt.want, tt.want-told); off > tt.want/3+loadMargin || changes > tt.changes {
				t.Errorf("told %d after %d changes, want %d after %d at most", told, changes, tt.want, tt.changes)
			}
		})
	}
}

// Two loads that take turns at the edge of being told don't make others follow them.
func TestLoadDoesNotFlap(t *testing.T) {
	var l load
	for range 200 {
		l.observe(300)
	}
	told := l.told
	for range 1000 {
		for _, now := range []int{300 * 5 / 4, 300 * 4 / 5} {
			for range 20 {
				if next := l.observe(now); next != told {
					t.Fatalf("%d was told, then %d", told, next)
				}
			}
		}
	}
}
