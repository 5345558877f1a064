package policy

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkAccessDecide prints what a decision costs: the last of a hundred rules decides, and the path has two readings.
func BenchmarkAccessDecide(b *testing.B) {
	c, f, id := heavy(b)
	plain := *f
	plain.Path = "/wiki/some/page/with/a/path"
	for name, f := range map[string]*Facts{"hundred rules": &plain, "hundred rules, path of two readings": f} {
		b.Run(name, func(b *testing.B) {
			allocs := testing.AllocsPerRun(100, func() { Decide(c, f, id) })
			for b.Loop() {
				Decide(c, f, id)
			}
			if b.N > 1 {
				_, _ = fmt.Fprintf(os.Stdout, "{\"bench\":\"access-decide\",\"case\":%q,\"ns_per_decision\":%d,\"allocs\":%v,\"want_allocs\":0}\n", name, b.Elapsed().Nanoseconds()/int64(b.N), allocs)
			}
		})
	}
}
