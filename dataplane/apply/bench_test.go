package apply

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/ads"
)

// BenchmarkAccessApply prints how long a node takes to apply ten thousand policies of a hundred rules each, from the bytes
// of the snapshot to the moment at which requests are judged by them.
func BenchmarkAccessApply(b *testing.B) {
	const policies, rules = 10_000, 100
	var rs []ads.Resource
	for i := range policies {
		p := &nodev1.Policy{PolicyId: fmt.Sprintf("policy_%d", i), OrganizationId: "org_1", Name: fmt.Sprintf("p%d", i), Otherwise: nodev1.PolicyAction_POLICY_ACTION_DENY}
		for j := range rules {
			m := &nodev1.PolicyConditions{}
			switch j % 4 {
			case 0:
				m.Networks = []string{fmt.Sprintf("10.%d.%d.0/24", i%250, j)}
			case 1:
				m.Paths = []string{fmt.Sprintf("/app%d/**", j)}
			case 2:
				m.Countries, m.Methods = []string{"CH", "LI"}, []string{"GET"}
			case 3:
				m.AutonomousSystems = []uint32{uint32(64500 + j)}
			}
			p.Rules = append(p.Rules, &nodev1.PolicyRule{Action: nodev1.PolicyAction_POLICY_ACTION_ALLOW, Match: m})
		}
		rs = append(rs, res(b, fmt.Sprintf("policy/o/policy_%d", i), p))
	}
	t := tx(1, rs...)
	for b.Loop() {
		runtime.GC()
		start, before := time.Now(), processor(b)
		l, _ := newLedger().stage(t, decode)
		took, used := time.Since(start), processor(b)-before
		if n := len(l.good[rs[0].TypeURL]); n != policies {
			b.Fatalf("%d policies applied", n)
		}
		one := rs[7]
		one.Version = "another"
		start = time.Now()
		l, _ = l.stage(tx(2, one), decode)
		again := time.Since(start)
		if l.good[one.TypeURL][one.Name].raw.Version != one.Version {
			b.Fatal("the change is not applied")
		}
		_, _ = fmt.Fprintf(os.Stdout, "{\"bench\":\"access-apply\",\"policies\":%d,\"rules_each\":%d,\"seconds\":%.3f,\"want_seconds_at_most\":1,\"cpu_seconds\":%.3f,\"one_changed_ms\":%.1f}\n",
			policies, rules, took.Seconds(), used.Seconds(), float64(again.Microseconds())/1000)
	}
}

// processor is the processor time of this process, in which the garbage collector's is.
func processor(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
