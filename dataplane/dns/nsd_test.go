package dns

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/shared/porttest"
)

// TestAgainstNSD asks us and NSD the same questions about the same random zones. What may differ:
//   - wildcards: NSD's stand for any number of labels, ours for one. Its zones have the names written out that ours
//     stands for and that are asked for, or that something below is.
//   - ANY: NSD answers every RRset, we one of them; both tell the same about existence.
//   - the additional section, the order within a set, and the case of names in data (NSD's follows the
//     question further than ours).
func TestAgainstNSD(t *testing.T) {
	const nsd = "/usr/sbin/nsd"
	if _, err := os.Stat(nsd); err != nil {
		t.Fatalf("this test needs the Debian package nsd: %v", err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	cfg := randomConfig(r, 15)
	v := mustView(t, cfg)
	asks := questions(r, cfg)
	peer := startNSD(t, nsd, cfg, asks)
	qtypes := []uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeTXT, dns.TypeMX, dns.TypeCNAME, dns.TypeCAA, dns.TypeSRV,
		dns.TypeHTTPS, dns.TypeDS, dns.TypeDNSKEY, dns.TypePTR, dns.TypeANY, dns.TypeOPT, dns.TypeTSIG, 65280, 0,
	}
	asked, seen := 0, map[string]int{}
	for _, qname := range asks {
		for _, qtype := range qtypes {
			for _, size := range []uint16{0, 512, 1232, 4096} {
				q := query(t, qname, qtype, size)
				if opt := r.IntN(2); opt == 1 && size > 0 { // DO
					q[len(q)-4] = 0x80
				}
				q[2] |= byte(r.IntN(2)) // RD
				binary.BigEndian.PutUint16(q, uint16(asked))
				theirs := peer.ask(t, q)
				ours := ask(t, v, q)
				asked++
				seen[dns.RcodeToString[theirs.Rcode]]++
				if theirs.Truncated {
					seen["truncated"]++
				}
				if d := difference(ours, theirs, qtype); d != "" {
					t.Errorf("%s %s, EDNS size %d: %s\nours:\n%v\nNSD's:\n%v", qname, dns.Type(qtype), size, d, ours, theirs)
				}
				if t.Failed() && asked > 20000 {
					t.FailNow()
				}
			}
		}
	}
	t.Logf("%d questions: %v", asked, seen)
	for _, kind := range []string{"NOERROR", "NXDOMAIN", "REFUSED", "truncated"} {
		if seen[kind] < 20 {
			t.Errorf("only %d answers of kind %s: this test looks at too little", seen[kind], kind)
		}
	}
}

func difference(ours, theirs *dns.Msg, qtype uint16) string {
	if ours.Rcode != theirs.Rcode {
		return "rcode"
	}
	if ours.Authoritative != theirs.Authoritative {
		return "AA"
	}
	if qtype == dns.TypeANY {
		return "" // each truncates what the other may not even send
	}
	if ours.MsgHdr != theirs.MsgHdr {
		return "header"
	}
	if !slices.Equal(ours.Question, theirs.Question) {
		return "question"
	}
	if !slices.Equal(set(ours.Answer), set(theirs.Answer)) {
		return "answer"
	}
	if !slices.Equal(set(ours.Ns), set(theirs.Ns)) {
		return "authority"
	}
	a, b := ours.IsEdns0(), theirs.IsEdns0()
	if (a == nil) != (b == nil) || a != nil && (a.Do() != b.Do() || a.UDPSize() != b.UDPSize()) {
		return "OPT"
	}
	return ""
}

// set is a section without order; owner names keep their case, which is that of the question.
func set(rrs []dns.RR) []string {
	out := strings.Split(text(rrs), "\n")
	for i, line := range out {
		owner, rest, _ := strings.Cut(line, " ")
		out[i] = owner + " " + strings.ToLower(rest)
	}
	slices.Sort(out)
	return out
}

// randomConfig has small pools, one large enough to truncate, and names of few labels, so that they meet:
// wildcards over names, empty non-terminals under wildcards, wildcards under wildcards.
func randomConfig(r *rand.Rand, zones int) Config {
	cfg := Config{Serial: r.Uint32()}
	for p, size := range []int{0, 1, 2, 3, 5, 38} {
		for i := range size {
			n := Node{ID: fmt.Sprintf("node%d-%d", p, i), Name: fmt.Sprintf("n%d-%d", p, i), Pool: fmt.Sprintf("p%d", p),
				Draining: r.IntN(5) == 0, Down: r.IntN(3) == 0}
			if family := r.IntN(4); family > 0 {
				n.Addresses = append(n.Addresses, netip.AddrFrom4([4]byte{10, byte(p), byte(i), byte(r.IntN(200))}))
			} else if family < 3 {
				n.Addresses = append(n.Addresses, netip.AddrFrom16([16]byte{0xfd, 1: byte(p), 2: byte(i), 15: byte(r.IntN(200))}))
			}
			if p == 5 { // both families, to reach the limits
				n.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 5, 0, byte(i)}), netip.AddrFrom16([16]byte{0xfd, 1: 5, 15: byte(i)})}
			}
			cfg.Nodes = append(cfg.Nodes, n)
		}
	}
	for i := range zones {
		z := Zone{ID: fmt.Sprintf("z%d", i), Apex: fmt.Sprintf("z%d.test", i), Pool: fmt.Sprintf("p%d", 1+r.IntN(4))}
		z.Issuers = []string{"ca.test", "other.ca.test"}[:r.IntN(3)]
		if r.IntN(3) == 0 {
			z.CAA = []CAA{{"issue", "ca.test; accounturi=https://ca.test/1?a=b; validationmethods=dns-01,http-01"}, {"issuewild", "ca.test; validationmethods=dns-01"}}
		}
		cfg.Zones = append(cfg.Zones, z)
		used := map[string]bool{}
		for range r.IntN(12) {
			owner := z.Apex
			for range r.IntN(5) {
				owner = randomLabel(r) + "." + owner
			}
			if r.IntN(3) == 0 {
				owner = "*." + owner
			}
			if !used[owner] {
				used[owner] = true
				cfg.RecordSets = append(cfg.RecordSets, RecordSet{Zone: z.ID, Owner: owner, TTL: uint32(r.IntN(600)), Pool: fmt.Sprintf("p%d", r.IntN(6))})
			}
		}
	}
	return cfg
}

func randomLabel(r *rand.Rand) string { return []string{"a", "b", "c"}[r.IntN(3)] }

// questions are names that exist, their parents, children and siblings, in mixed case.
func questions(r *rand.Rand, cfg Config) []string {
	var out []string
	add := func(name string) {
		b := []byte(name)
		for i := range b {
			if r.IntN(4) == 0 {
				b[i] = bytes.ToUpper(b[i : i+1])[0]
			}
		}
		out = append(out, string(b)+".")
	}
	for _, z := range cfg.Zones {
		add(z.Apex)
		add("no." + z.Apex)
		add("*." + z.Apex)
		add("a.no." + z.Apex)
		add(strings.Repeat("a.", 100) + z.Apex)
		for _, n := range cfg.Nodes {
			if n.Pool == z.Pool || r.IntN(20) == 0 {
				add("ns-" + n.Name + "." + z.Apex)
				add("a.ns-" + n.Name + "." + z.Apex)
			}
		}
	}
	for _, rs := range cfg.RecordSets {
		add(rs.Owner)
		add(randomLabel(r) + "." + rs.Owner)
		add(strings.ReplaceAll(rs.Owner, "*", randomLabel(r)))
		add(strings.ReplaceAll(rs.Owner, "*", "x.y"))
		_, parent, _ := strings.Cut(rs.Owner, ".")
		add(parent)
		add(randomLabel(r) + "." + parent)
		add("x." + parent)
	}
	for _, name := range []string{"test", "elsewhere.test", "z0.test.example", "", "xz1.test"} {
		add(name)
	}
	out[slices.Index(out, ".")] = "."
	return out
}

// zoneFile writes a zone as a person would who knows only the rules, not our code.
func zoneFile(cfg Config, z Zone, asks []string) string {
	var b strings.Builder
	members := func(pool string) []Node {
		ns := slices.DeleteFunc(slices.Clone(cfg.Nodes), func(n Node) bool { return n.Pool != pool })
		slices.SortFunc(ns, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
		return ns
	}
	write := func(owner string, ttl uint32, a netip.Addr) {
		kind := "AAAA"
		if a.Is4() {
			kind = "A"
		}
		fmt.Fprintf(&b, "%s. %d IN %s %s\n", owner, ttl, kind, a)
	}
	servers := members(z.Pool)
	fmt.Fprintf(&b, "%s. 30 IN SOA ns-%s.%s. hostmaster.%s. %d 3600 600 604800 30\n", z.Apex, servers[0].Name, z.Apex, z.Apex, cfg.Serial)
	for _, c := range z.CAA {
		fmt.Fprintf(&b, "%s. 30 IN CAA 0 %s \"%s\"\n", z.Apex, c.Tag, c.Value)
	}
	for _, issuer := range z.Issuers {
		if len(z.CAA) == 0 {
			fmt.Fprintf(&b, "%s. 30 IN CAA 0 issue \"%s\"\n", z.Apex, issuer)
		}
	}
	allDown := !slices.ContainsFunc(servers, func(n Node) bool { return !n.Down })
	for _, n := range servers {
		if allDown || !n.Down {
			fmt.Fprintf(&b, "%s. 3600 IN NS ns-%s.%s.\n", z.Apex, n.Name, z.Apex)
		}
		for _, a := range n.Addresses {
			write("ns-"+n.Name+"."+z.Apex, 3600, a)
		}
	}
	for _, rs := range append(writtenOut(cfg, z, asks), cfg.RecordSets...) {
		if rs.Zone != z.ID {
			continue
		}
		nodes, live := members(rs.Pool), 0
		for _, n := range nodes {
			if !n.Draining && !n.Down {
				live += len(n.Addresses)
			}
		}
		written := 0
		for _, n := range nodes {
			if live > 0 && (n.Draining || n.Down) {
				continue
			}
			for _, a := range n.Addresses {
				write(rs.Owner, rs.TTL, a)
				written++
			}
		}
		if written == 0 { // it exists all the same: give it a name below, that nobody asks for
			fmt.Fprintf(&b, "unasked.%s. 30 IN TXT x\n", rs.Owner)
		}
	}
	return b.String()
}

// writtenOut are the names of one label that a wildcard stands for, of those below which something is asked for.
func writtenOut(cfg Config, z Zone, asks []string) []RecordSet {
	exists := func(name string) bool {
		for _, rs := range cfg.RecordSets {
			if rs.Owner == name || strings.HasSuffix(rs.Owner, "."+name) {
				return true
			}
		}
		return slices.ContainsFunc(cfg.Nodes, func(n Node) bool { return n.Pool == z.Pool && name == "ns-"+n.Name+"."+z.Apex })
	}
	var out []RecordSet
	done := map[string]bool{}
	for _, rs := range cfg.RecordSets {
		parent, wild := strings.CutPrefix(rs.Owner, "*.")
		if !wild || rs.Zone != z.ID {
			continue
		}
		for _, qname := range asks {
			rest, below := strings.CutSuffix(strings.TrimSuffix(strings.ToLower(qname), "."), "."+parent)
			labels := strings.Split(rest, ".")
			name := labels[len(labels)-1] + "." + parent
			if !below || len(labels) < 2 || done[name] || exists(name) {
				continue
			}
			done[name] = true
			one := rs
			one.Owner = name
			out = append(out, one)
		}
	}
	return out
}

type nsdPeer struct{ conn net.Conn }

func (p *nsdPeer) ask(t *testing.T, q []byte) *dns.Msg {
	t.Helper()
	m, err := p.try(q, 10*time.Second)
	if err != nil {
		t.Fatalf("NSD: %v", err)
	}
	return m
}

func (p *nsdPeer) try(q []byte, patience time.Duration) (*dns.Msg, error) {
	if _, err := p.conn.Write(q); err != nil {
		return nil, err
	}
	p.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 65535)
	for {
		n, err := p.conn.Read(buf)
		if err != nil {
			return nil, err
		}
		m := new(dns.Msg)
		if err := m.Unpack(buf[:n]); err != nil {
			return nil, err
		}
		if m.Id == binary.BigEndian.Uint16(q) {
			return m, nil
		}
	}
}

// startNSD serves cfg from NSD on loopback until the test ends.
func startNSD(t *testing.T, program string, cfg Config, asks []string) *nsdPeer {
	t.Helper()
	dir := t.TempDir()
	port := porttest.Free(t, 1)
	conf := fmt.Sprintf(`server:
	ip-address: 127.0.0.1@%d
	server-count: 1
	username: ""
	zonesdir: %[2]q
	pidfile: "%[2]s/nsd.pid"
	xfrdfile: "%[2]s/xfrd.state"
	zonelistfile: "%[2]s/zone.list"
	xfrdir: %[2]q
	database: ""
	rrl-ratelimit: 0
	ipv4-edns-size: %[3]d
	minimal-responses: yes
remote-control:
	control-enable: no
`, port, dir, udpSize)
	for _, z := range cfg.Zones {
		conf += fmt.Sprintf("zone:\n\tname: %q\n\tzonefile: %q\n", z.Apex, z.Apex)
		if err := os.WriteFile(filepath.Join(dir, z.Apex), []byte(zoneFile(cfg, z, asks)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "nsd.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var log syncBuffer
	cmd := exec.Command(program, "-d", "-c", path)
	cmd.Stdout, cmd.Stderr = &log, &log
	// Its children end with it, and it ends with us, however we end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	peer := &nsdPeer{conn: conn}
	last := cfg.Zones[len(cfg.Zones)-1].Apex + "."
	waitFor(t, func() bool {
		select {
		case <-ended:
			t.Fatalf("NSD ended:\n%s", log.String())
		default:
		}
		m, err := peer.try(query(t, last, dns.TypeSOA, 0), 100*time.Millisecond)
		return err == nil && m.Rcode == dns.RcodeSuccess && len(m.Answer) == 1
	})
	return peer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
