package gate_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/inbound"
)

// A part is what a process does in BenchmarkAccessNeighbour other than the one that was started.
const (
	partOf    = "WARREN_BENCH_PART"
	partNode  = "node"
	partFlood = "flood"
)

// order is what a part is told, answer what it says of it.
type (
	order struct {
		To    string        `json:",omitempty"` // the target's address, or the node's; the first order
		Quota int           `json:",omitempty"` // of the flooded organization
		Rate  int           `json:",omitempty"` // of the flood
		Long  time.Duration `json:",omitempty"`
	}
	answer struct {
		Addr            string        `json:",omitempty"`
		CPU             time.Duration `json:",omitempty"`
		Served, Refused int           `json:",omitempty"`
		Failed          string        `json:",omitempty"`
	}
)

// BenchmarkAccessNeighbour prints what one organization notices of another one of which ten times its quota is asked, on the same
// node: the 99th percentile of its requests alone, beside that, and beside the same without a quota, by turns (T38), and what a
// request that is refused takes of the node. The node is a process of its own with the first half of the processors, the flood
// one with the other half, which it shares with this one, the neighbour and his target.
func BenchmarkAccessNeighbour(b *testing.B) {
	switch os.Getenv(partOf) {
	case partNode:
		beNode(b)
		return
	case partFlood:
		beFlood(b)
		return
	}
	const turns, each, rate, quota, times = 5, 4 * time.Second, 200, 200, 10
	const asked = quota * times
	keepTo(b, false)
	node, flood := newPart(b, partNode), newPart(b, partFlood)
	at := node.tell(b, order{To: plain(b)}).Addr
	flood.tell(b, order{To: at})
	quiet := newSide(b, at, host)
	few, failed := quiet.dial(8), atomic.Int64{}
	calm := func() time.Duration {
		took := paced(rate, each, 0, few, func(c *tls.Conn, buf []byte) {
			if err := quiet.send(c, buf); err != nil {
				failed.Add(1)
				b.Log(err)
			}
		})
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	beside := func(quota int) (p99, cpu time.Duration, a answer) {
		before := node.tell(b, order{Quota: quota}).CPU
		var both sync.WaitGroup
		both.Go(func() { a = flood.tell(b, order{Rate: asked, Long: each}) })
		p99 = calm()
		both.Wait()
		if a.Failed != "" {
			b.Fatal("the flood: " + a.Failed)
		}
		return p99, node.tell(b, order{Quota: quota}).CPU - before, a
	}
	for b.Loop() {
		var alone, held, free []time.Duration
		var aloneCPU, heldCPU, freeCPU time.Duration
		var let, not, all int
		for range turns {
			before := node.tell(b, order{}).CPU
			alone = append(alone, calm())
			aloneCPU += node.tell(b, order{}).CPU - before
			p99, cpu, a := beside(quota)
			held, heldCPU, let, not = append(held, p99), heldCPU+cpu, let+a.Served, not+a.Refused
			p99, cpu, a = beside(0)
			free, freeCPU, all = append(free, p99), freeCPU+cpu, all+a.Served
		}
		median := func(p99 []time.Duration) float64 {
			slices.Sort(p99)
			return ms(p99[len(p99)/2])
		}
		a, h, f := median(alone), median(held), median(free)
		share := func(cpu time.Duration) float64 { return cpu.Seconds() / (turns * each).Seconds() } // of one processor
		served := us(freeCPU-aloneCPU) / float64(all)
		_, _ = fmt.Fprintf(os.Stdout, "{\"bench\":\"access-neighbour\",\"quiet_rate\":%d,\"quota\":%d,\"asked_rate\":%d,\"served_per_second\":%d,\"refused_per_second\":%d,\"quiet_failed\":%d,\"want_quiet_failed\":0,"+
			"\"alone_p99_ms\":%.3f,\"beside_p99_ms\":%.3f,\"ratio\":%.2f,\"want_ratio_at_most\":1.2,\"without_quota_p99_ms\":%.3f,\"without_quota_ratio\":%.2f,\"alone_cpu\":%.3f,\"beside_cpu\":%.3f,\"without_quota_cpu\":%.3f,\"cpu_us_served\":%.1f,\"cpu_us_refused\":%.1f}\n",
			rate, quota, asked, let*int(time.Second)/(turns*int(each)), not*int(time.Second)/(turns*int(each)), failed.Load(), a, h, h/a, f, f/a,
			share(aloneCPU), share(heldCPU), share(freeCPU), served, (us(heldCPU-aloneCPU)-served*float64(let))/float64(not))
	}
}

// newSide asks for a page of a host at a node.
func newSide(b *testing.B, addr, host string) *side {
	return &side{b: b, addr: addr, host: host, request: fmt.Appendf(nil, "GET /wiki/page HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n", host)}
}

// beNode is the node. It answers each order with the processor time that it has used.
func beNode(b *testing.B) {
	keepTo(b, true)
	n := newNode(b, members(), hello)
	n.level.Set(slog.LevelWarn)
	tenants := inbound.NewTenants(inbound.NewLimiter(inbound.PerIP, 10_000))
	tenants.Apply(map[string]inbound.Quota{"quiet": {}, "noisy": {}})
	to := []httpproxy.Rule{{PathPrefix: "/", Targets: []balance.Target{{ID: "t", Site: "s", Weight: 1}}}}
	other := certificate(b, openHost)
	n.proxy.Apply(httpproxy.Config{Certificates: []httpproxy.Certificate{n.cert, other}, Routes: []httpproxy.Route{
		{Service: "service_1", Tenant: tenants.Of("quiet"), Hostname: host, Certificate: n.cert.Name, Rules: to},
		{Service: "service_2", Tenant: tenants.Of("noisy"), Hostname: openHost, Certificate: other.Name, Rules: to},
	}})
	obey(b, func(o order) answer {
		if o.To != "" {
			n.to = o.To
		}
		tenants.Apply(map[string]inbound.Quota{"quiet": {}, "noisy": {PerSecond: o.Quota}})
		return answer{Addr: n.addr, CPU: processor(b)}
	})
}

// beFlood asks for a page of one organization.
func beFlood(b *testing.B) {
	keepTo(b, false)
	var noisy *side
	var many []*tls.Conn
	obey(b, func(o order) answer {
		if o.To != "" {
			noisy = newSide(b, o.To, openHost)
			many = noisy.dial(400) // who is refused waits: a few could not ask for as much
			return answer{}
		}
		var served, refused atomic.Int64
		var failed atomic.Pointer[error]
		paced(o.Rate, o.Long, 50*time.Millisecond, many, func(c *tls.Conn, buf []byte) {
			switch status, err := noisy.either(c, buf); {
			case err != nil:
				failed.Store(&err)
			case status == http.StatusOK:
				served.Add(1)
			default:
				refused.Add(1)
			}
		})
		a := answer{Served: int(served.Load()), Refused: int(refused.Load())}
		if err := failed.Load(); err != nil {
			a.Failed = (*err).Error()
		}
		return a
	})
}

// keepTo keeps this process to its half of the processors.
func keepTo(b *testing.B, first bool) {
	var had, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &had); err != nil {
		b.Fatal(err)
	}
	var all []int
	for cpu := range len(had) * 64 {
		if had.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	mine := all[len(all)/2:]
	if first {
		mine = all[:max(1, len(all)/2)]
	}
	for _, cpu := range mine {
		set.Set(cpu)
	}
	runtime.GOMAXPROCS(len(mine))
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range threads { // those to come are of one of these
		id, err := strconv.Atoi(filepath.Base(t))
		if err == nil {
			err = unix.SchedSetaffinity(id, &set)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// part is a process of this program that does what it is told.
type part struct {
	orders  *json.Encoder
	answers *json.Decoder
}

// newPart starts one, which ends with the benchmark.
func newPart(b *testing.B, name string) *part {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = out.Close() })
	cmd := exec.Command(self, "-test.run", "^$", "-test.bench", "^BenchmarkAccessNeighbour$", "-test.benchtime", "1x")
	cmd.Env = append(os.Environ(), partOf+"="+name)
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	_ = theirs.Close()
	b.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Errorf("%s: %v", name, err)
		}
	})
	return &part{json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
}

func (p *part) tell(b *testing.B, o order) (a answer) {
	b.Helper()
	err := p.orders.Encode(o)
	if err == nil {
		err = p.answers.Decode(&a)
	}
	if err != nil || a.Failed != "" {
		b.Error(err, a.Failed)
	}
	return a
}

// obey does what is ordered until no more can come.
func obey(b *testing.B, do func(order) answer) {
	in, out := json.NewDecoder(os.Stdin), os.NewFile(3, "answers")
	defer out.Close()
	for {
		var o order
		if err := in.Decode(&o); err == io.EOF {
			return
		} else if err != nil {
			b.Fatal(err)
		}
		if err := json.NewEncoder(out).Encode(do(o)); err != nil {
			b.Fatal(err)
		}
	}
}

// paced sends so many requests a second, each when it is due, and returns how long after that each was answered. One that is late
// by more than some time, because the machine has other things to do, is not sent; 0: each is sent.
func paced(rate int, long, late time.Duration, conns []*tls.Conn, send func(*tls.Conn, []byte)) (took []time.Duration) {
	queue := make(chan time.Time, rate*int(long/time.Second)) // nobody who sends ever waits
	var all sync.WaitGroup
	var mu sync.Mutex // guards took
	for _, c := range conns {
		all.Go(func() {
			buf, mine := make([]byte, 4096), []time.Duration(nil)
			for due := range queue {
				if late > 0 && time.Since(due) > late {
					continue
				}
				send(c, buf)
				mine = append(mine, time.Since(due))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	const beat = time.Millisecond
	start, sent := time.Now(), 0
	for due := start; sent < cap(queue); due = due.Add(beat) {
		time.Sleep(time.Until(due))
		for sent < min(int(due.Add(beat).Sub(start).Seconds()*float64(rate)), cap(queue)) {
			queue <- due
			sent++
		}
	}
	close(queue)
	all.Wait()
	return took
}

// either waits for an answer that is the target's page or the node's refusal.
func (s *side) either(c *tls.Conn, buf []byte) (status int, err error) {
	if _, err := c.Write(s.request); err != nil {
		return 0, err
	}
	for got := 0; ; {
		n, err := c.Read(buf[got:])
		if err != nil {
			return 0, fmt.Errorf("%s: %w after %q", s.host, err, buf[:got])
		}
		switch got += n; {
		case bytes.HasSuffix(buf[:got], []byte(ending)):
			return http.StatusOK, nil
		case bytes.HasPrefix(buf, []byte("HTTP/1.1 429 ")):
			if _, body, ok := bytes.Cut(buf[:got], []byte("\r\n\r\n")); ok && bytes.Count(body, []byte("\n")) == 2 {
				return http.StatusTooManyRequests, nil
			}
		}
	}
}
