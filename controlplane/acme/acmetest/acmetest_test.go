package acmetest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The resolver keeps what it has learned, that nothing is there included: who tells a CA too early fails.
func TestResolverCachesNegatives(t *testing.T) {
	one, two := StartDNS(t), StartDNS(t)
	addr := StartResolver(t, []string{"warren.test", "other.example"}, netip.MustParseAddrPort(one.Addr), netip.MustParseAddrPort(two.Addr))
	ask := func(name string) (int, []string) {
		t.Helper()
		m, _, err := (&dns.Client{Net: "tcp", Timeout: 10 * time.Second}).Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeTXT), addr)
		if err != nil {
			t.Fatal(err)
		}
		var values []string
		for _, rr := range m.Answer {
			values = append(values, rr.(*dns.TXT).Txt...)
		}
		return m.Rcode, values
	}
	for _, d := range []*DNS{one, two} {
		d.Add("_acme-challenge.early.warren.test", "yes")
		d.Add("_acme-challenge.x.other.example", "yes")
	}
	for _, name := range []string{"_acme-challenge.early.warren.test", "_acme-challenge.x.other.example"} {
		if rcode, got := ask(name); rcode != dns.RcodeSuccess || len(got) != 1 {
			t.Errorf("%s: rcode %d, values %v", name, rcode, got)
		}
	}
	const late = "_acme-challenge.late.warren.test"
	if rcode, _ := ask(late); rcode != dns.RcodeNameError {
		t.Errorf("rcode %d", rcode)
	}
	one.Add(late, "now")
	two.Add(late, "now")
	if rcode, got := ask(late); rcode != dns.RcodeNameError {
		t.Errorf("the resolver has forgotten that the name did not exist: rcode %d, %v", rcode, got)
	}
	const many = 80 // so that it asks the same one each time once in 2^79
	for i := range many {
		ask(fmt.Sprintf("_acme-challenge.n%d.warren.test", i))
	}
	count := func(d *DNS) (n int) {
		for i := range many {
			n += d.Asked(fmt.Sprintf("_acme-challenge.n%d.warren.test", i))
		}
		return n
	}
	if a, b := count(one), count(two); a == 0 || b == 0 {
		t.Errorf("one server was asked %d times, the other %d: a resolver asks both", a, b)
	}
	if rcode, _ := ask("elsewhere.invalid"); rcode == dns.RcodeSuccess {
		t.Error("it answers for zones that it was not given")
	}
}

// A port that a server has just left, or is about to open, is not where a resolver asks from.
func TestResolverAsksFromNoPortOfATest(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const many = 40 // ports that Unbound chooses by chance
	from, started := make(chan net.Addr, many), make(chan struct{})
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		select {
		case from <- w.RemoteAddr():
		default: // it asks again
		}
		_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = srv.Shutdown(); <-done })
	addr := StartResolver(t, []string{"warren.test"}, netip.MustParseAddrPort(pc.LocalAddr().String()))
	for i := range many {
		if _, _, err := (&dns.Client{Net: "tcp", Timeout: time.Minute}).Exchange(new(dns.Msg).SetQuestion(fmt.Sprintf("n%d.warren.test.", i), dns.TypeTXT), addr); err != nil {
			t.Fatal(err)
		}
		if at := netip.MustParseAddrPort((<-from).String()); at.Addr() != netip.MustParseAddr("127.0.0.1") || at.Port() < 32768 {
			t.Errorf("it asks from %s", at)
		}
	}
}

func fetch(t *testing.T, p *Proxy, method, path, body string) (int, string, http.Header, error) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.Roots}, DisableKeepAlives: true}}
	req, err := http.NewRequest(method, strings.TrimSuffix(p.Directory, "/dir")+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), resp.Header, err
}

func TestProxyFaults(t *testing.T) {
	ca := Start(t, Config{})
	p := StartProxy(t, ca, 1)
	status, body, _, err := fetch(t, p, "GET", "/dir", "")
	if err != nil || status != 200 || strings.Count(body, strings.TrimSuffix(p.Directory, "/dir")) < 6 || strings.Contains(body, strings.TrimPrefix(ca.Directory, "https://")) {
		t.Errorf("the directory does not lead through the proxy: %d %s, error %v", status, body, err)
	}
	const signed = `{"protected":"eyJraWQiOiJhIn0","payload":"","signature":""}` // kid "a"
	for fault, fits := range map[Fault]func(status int, body string, h http.Header, err error) bool{
		Fail:      func(s int, b string, h http.Header, err error) bool { return s >= 500 && strings.HasPrefix(b, "{") },
		Lose:      func(s int, b string, h http.Header, err error) bool { return err != nil },
		Refuse:    func(s int, b string, h http.Header, err error) bool { return err != nil },
		Limit:     func(s int, b string, h http.Header, err error) bool { return s == 429 && h.Get("Retry-After") == "1" },
		HTML:      func(s int, b string, h http.Header, err error) bool { return s >= 400 && strings.HasPrefix(b, "<!") },
		HTMLAfter: func(s int, b string, h http.Header, err error) bool { return s == 200 && strings.HasPrefix(b, "<!") },
		Trickle: func(s int, b string, h http.Header, err error) bool {
			return s == 415 && strings.Contains(b, "Content-Type")
		},
	} {
		p.Next(OrderRead, fault)
		if status, body, h, err := fetch(t, p, "POST", "/my-order/x", signed); !fits(status, body, h, err) {
			t.Errorf("fault %d: %d %q, error %v", fault, status, body, err)
		}
	}
	if n := p.Requests()[OrderRead]; n != 7 {
		t.Errorf("%d requests counted", n)
	}
	p.Down(true)
	if _, _, _, err := fetch(t, p, "GET", "/dir", ""); err == nil {
		t.Error("answers while it is down")
	}
}

// The book notes who comes too early, and nobody else.
func TestBookOfLimits(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	const ms = time.Millisecond
	limit := asked{kind: NewOrder, account: "a", path: "/order-plz"}
	for _, c := range []struct {
		what      string
		a         asked
		heard, at time.Duration // 0: not heard
		broken    bool
		excused   bool
	}{
		{"on its way", limit, 0, 900 * ms, false, true},
		{"after a second", limit, 0, 1100 * ms, true, false},
		{"to the second", limit, 0, 9999 * ms, true, false},
		{"when it is over", limit, 0, 10000 * ms, false, false},
		{"another account", asked{kind: NewOrder, account: "b"}, 0, 2000 * ms, false, false},
		{"another kind", asked{kind: OrderRead, account: "a"}, 0, 2000 * ms, true, false},
		{"not signed", asked{kind: NewNonce}, 0, 2000 * ms, true, false},
		{"began before anybody was told", asked{kind: OrderRead, account: "a", began: at(300 * ms)}, 0, 5000 * ms, false, true},
		{"began before all were told", asked{kind: OrderRead, account: "a", began: at(300 * ms)}, 400 * ms, 5000 * ms, false, true},
		{"began when all were told", asked{kind: OrderRead, account: "a", began: at(401 * ms)}, 400 * ms, 402 * ms, true, false},
		{"began when all were told, arrived later", asked{kind: OrderRead, account: "a", began: at(401 * ms)}, 400 * ms, 10000 * ms, false, false},
	} {
		b := newBook()
		n := b.limited(limit, now, at(10*time.Second))
		if c.heard > 0 {
			b.heard(n, at(c.heard))
		}
		b.arrived(c.a, at(c.at))
		if (len(b.broken) > 0) != c.broken || (b.excused > 0) != c.excused {
			t.Errorf("%s: %d violations, %d excused", c.what, len(b.broken), b.excused)
		}
	}
	b := newBook()
	b.heard(b.limited(limit, now, at(10*time.Second)), at(100*ms))
	b.heard(b.limited(limit, at(50*ms), at(10050*ms)), at(200*ms)) // by one that was on its way
	for _, began := range []time.Duration{10010 * ms, 150 * ms} {
		if b.arrived(asked{kind: OrderRead, account: "a", began: at(began)}, at(10020*ms)); len(b.broken) != 1 {
			t.Errorf("a second limit holds for what began after it was told: %v", b.broken)
		}
	}
}

// The book notes who reads an order before it was asked to.
func TestBookOfPolls(t *testing.T) {
	b, now := newBook(), time.Now()
	poll := asked{kind: AuthzRead, account: "a", path: "/authZ/1"}
	after := http.Header{"Retry-After": {"3"}}
	b.answered(poll, 200, after, []byte(`{"status":"pending"}`), now)
	b.arrived(poll, now.Add(2*time.Second))
	b.answered(poll, 200, http.Header{}, []byte(`{"status":"invalid","identifier":{"value":"x.example"}}`), now.Add(2*time.Second))
	b.arrived(poll, now.Add(2*time.Second))
	if len(b.early) != 1 || b.failed["/authZ/1"] != "x.example" {
		t.Errorf("early %v, failed %v", b.early, b.failed)
	}
	n := b.answered(asked{kind: Finalize, account: "a", path: "/finalize-order/2"}, 200, after, []byte(`{"status":"processing"}`), now)
	read := asked{kind: OrderRead, account: "a", path: "/my-order/2", began: now.Add(2 * time.Second)}
	if b.arrived(read, read.began); len(b.early) != 1 {
		t.Errorf("what was lost is no reason to wait: %v", b.early)
	}
	b.heard(n, now.Add(time.Second))
	if b.arrived(read, read.began); len(b.early) != 2 || b.awaiting != 2 {
		t.Errorf("early %v of %d", b.early, b.awaiting)
	}
}

// The book knows an order that is ordered twice from one that is ordered again.
func TestBookOfOrders(t *testing.T) {
	b, now := newBook(), time.Now()
	order := func(id, status string) {
		b.answered(asked{kind: NewOrder, names: "a,b", path: "/order-plz"}, 201, http.Header{"Location": {"https://x/my-order/" + id}}, []byte(`{"status":"pending"}`), now)
		if status != "" {
			b.answered(asked{kind: OrderRead, path: "/my-order/" + id}, 200, nil, []byte(`{"status":"`+status+`","certificate":"https://x/c/`+id+`"}`), now)
		}
	}
	order("1", "valid")
	order("2", "invalid")
	order("3", "ready")
	if len(b.twice) != 0 {
		t.Errorf("twice: %v", b.twice)
	}
	order("4", "")
	order("5", "")
	if len(b.twice) != 2 || b.newOrders["a,b"] != 5 || len(b.invalid) != 1 || b.invalid["/my-order/2"] != "a,b" {
		t.Errorf("twice %v, orders %v, invalid %v", b.twice, b.newOrders, b.invalid)
	}
}

// Elsewhere Pebble is started by somebody else, at a place that is known before.
func TestCommand(t *testing.T) {
	c := Config{Listen: porttest.Address(t), Management: porttest.Address(t)}
	program, env, rootsPEM, err := c.Command()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(rootsPEM) {
		t.Fatal("no roots")
	}
	p, err := RunProxy("https://"+c.Listen+"/dir", roots, "127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	if status, _, _, err := fetch(t, p, "GET", "/dir", ""); err != nil || status != 200 {
		t.Errorf("%d, error %v", status, err)
	}
	if e := p.Entries(); len(e) != 1 || e[0].Kind != DirectoryRead || e[0].Status != 200 {
		t.Errorf("entries %+v", e)
	}
}

// A Pebble ends with who started it, whatever happens to that.
func TestPebbleEndsWithItsParent(t *testing.T) {
	ca, err := Run(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ca.stdin.Close() // as the kernel does when the parent is gone
	select {
	case <-ca.ended:
	case <-time.After(20 * time.Second):
		t.Error("it lives on")
	}
	ca.Stop()
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", ca.PID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("process %d is there: %v", ca.PID, err)
	}
}
