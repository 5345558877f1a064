package dns

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// measure runs f b.N times, then prints one JSON line: CPU time of the process, allocations and octets per
// operation. CPU time, unlike elapsed time, says the same on a busy machine.
func measure(b *testing.B, name string, f func(i uint32)) {
	cpu := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	var before, after runtime.MemStats
	b.ReportAllocs()
	runtime.ReadMemStats(&before)
	start := cpu()
	i := uint32(0)
	for b.Loop() {
		f(i)
		i++
	}
	spent := cpu() - start
	runtime.ReadMemStats(&after)
	n := float64(i)
	json.NewEncoder(os.Stdout).Encode(struct {
		Benchmark string  `json:"benchmark"`
		N         uint32  `json:"n"`
		CPU       float64 `json:"cpu_ns_per_op"`
		Allocs    float64 `json:"allocs_per_op"`
		Bytes     float64 `json:"bytes_per_op"`
	}{name, i, float64(spent) / n, float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n})
}

// many has 1000 zones of ten names each, on four nodes.
func many() Config {
	cfg := Config{Serial: 1}
	for i := range 4 {
		cfg.Nodes = append(cfg.Nodes, Node{ID: fmt.Sprint(i), Name: fmt.Sprintf("n%d", i), Pool: "p", Addresses: []netip.Addr{
			netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)})}})
	}
	for z := range 1000 {
		apex := fmt.Sprintf("zone%d.test", z)
		cfg.Zones = append(cfg.Zones, Zone{ID: apex, Apex: apex, Pool: "p"})
		for i := range 9 {
			cfg.RecordSets = append(cfg.RecordSets, RecordSet{Zone: apex, Owner: fmt.Sprintf("host%d.%s", i, apex), TTL: 30, Pool: "p"})
		}
		cfg.RecordSets = append(cfg.RecordSets, RecordSet{Zone: apex, Owner: "*.wild." + apex, TTL: 30, Pool: "p"})
	}
	return cfg
}

var kinds = []struct {
	name, qname string
	qtype       uint16
}{
	{"A", "host7.zone500.test.", dns.TypeA},
	{"A in mixed case", "hOsT7.zOnE500.tEsT.", dns.TypeA},
	{"wildcard", "a.b.wild.zone500.test.", dns.TypeAAAA},
	{"NODATA", "host7.zone500.test.", dns.TypeTXT},
	{"NXDOMAIN", "no.zone500.test.", dns.TypeA},
	{"REFUSED", "elsewhere.example.", dns.TypeA},
}

// BenchmarkLookup is the pure middle: names in, records out.
func BenchmarkLookup(b *testing.B) {
	v := mustView(b, many())
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			measure(b, "dns lookup "+k.name, func(i uint32) { v.lookup(k.qname, k.qtype, i, at) })
		})
	}
}

// BenchmarkPacket is all that happens to a packet between two system calls.
func BenchmarkPacket(b *testing.B) {
	s, _ := newServer(b, many())
	buf := make([]byte, 2*udpSize)
	for _, k := range kinds {
		q := query(b, k.qname, k.qtype, udpSize)
		b.Run(k.name, func(b *testing.B) {
			measure(b, "dns packet "+k.name, func(uint32) { s.handle(q, netip.Addr{}, overUDP, buf) })
		})
	}
}

// BenchmarkApply is what a change costs: of a name, and of a node's health, which keeps the names.
func BenchmarkApply(b *testing.B) {
	states := map[string][2]Config{"name": {many(), many()}, "health": {many(), many()}}
	states["name"][1].RecordSets[0].TTL++
	states["health"][1].Nodes[0].Down = true
	for _, kind := range []string{"name", "health"} {
		b.Run(kind, func(b *testing.B) {
			s, _ := newServer(b, states[kind][0])
			measure(b, "dns apply "+kind+" of 10000", func(i uint32) { s.Apply(states[kind][(i+1)%2]) })
		})
	}
}
