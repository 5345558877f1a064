package main

import (
	"slices"
	"testing"
)

func TestDraw(t *testing.T) {
	programs := []kind{replica, replica, node, node, node, connector, connector}
	drawn := map[string]bool{}
	for number := range 6 {
		o := draw(7, number, programs)
		if again := draw(7, number, programs); !slices.Equal(o.steps, again.steps) || o.name != again.name {
			t.Errorf("order %d: %v, then %v", number, o, again)
		}
		if all := slices.Sorted(slices.Values(o.steps)); !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6}) {
			t.Errorf("order %d: %v is not each program once", number, o.steps)
		}
		var kinds []kind
		for _, i := range o.steps {
			kinds = append(kinds, programs[i])
		}
		first, last := slices.Index(kinds, replica), slices.Index(kinds, node)
		if number == 0 && first != 5 || number == 1 && (first != 0 || last < 2) {
			t.Errorf("%s: %v", o.name, kinds)
		}
		drawn[o.name] = true
	}
	if len(drawn) != 3 {
		t.Errorf("orders %v", drawn)
	}
}
