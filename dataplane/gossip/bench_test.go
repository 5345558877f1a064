package gossip

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// BenchmarkIdle prints what a cluster of 20 costs each of its nodes while nothing happens.
func BenchmarkIdle(b *testing.B) {
	all := startReal(b, 20)
	for _, r := range all {
		r.SetSites(siteIDs(0, 2000))
	}
	allAlive(b, all)
	eventually(b, "all sites known", func() bool {
		for _, r := range all {
			for _, o := range all {
				if r != o && len(r.View().Node(o.cfg.Self).Sites) != 2000 {
					return false
				}
			}
		}
		return true
	})
	count := func() (bytes float64, cpu time.Duration) {
		for _, r := range all {
			bytes += testutil.ToFloat64(r.m.sent)
		}
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return bytes, time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	bytes, cpu := count()
	start := time.Now()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	took := time.Since(start).Seconds()
	bytesAfter, cpuAfter := count()
	figure, err := json.Marshal(map[string]any{
		"bench": "gossip_idle", "nodes": len(all), "sites_per_node": 2000,
		"cpu_percent_per_node":           (cpuAfter - cpu).Seconds() / took / float64(len(all)) * 100,
		"sent_bytes_per_second_per_node": (bytesAfter - bytes) / took / float64(len(all)),
	})
	if err != nil {
		b.Fatal(err)
	}
	fmt.Println(string(figure))
}
