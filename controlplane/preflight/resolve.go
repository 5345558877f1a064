package preflight

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// Bounds of one check.
const (
	askTime    = 1500 * time.Millisecond // for one exchange
	maxAsked   = 200                     // exchanges, and for each name
	maxPerName = 20                      // so many more
	maxServers = 6                       // addresses that one question is put to
	maxSteps   = 24                      // referrals and aliases on the way to one answer
	maxDepth   = 3                       // name servers whose addresses have to be found first
)

var (
	errSilent  = errors.New("no server answers")
	errNoWay   = errors.New("no way to this address from the control plane")
	errStrange = errors.New("no address of a name server")
	errEffort  = errors.New("too many questions")
	errLoop    = errors.New("referrals or aliases without an end")
)

// cut is where a zone begins, as the zone above says.
type cut struct {
	zone    string // with trailing dot, lower case
	servers []server
}

type server struct {
	host  string // with trailing dot, lower case
	addrs []netip.Addr
}

// walk asks authoritative servers only, from the root down. It is of one goroutine.
type walk struct {
	*journey
	depth int
}

// journey is what the walks of one check share: nothing that they learn is older than that.
type journey struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	ours map[netip.Addr]bool // asked wherever they are: the roots that are configured, and our nodes

	mu   sync.Mutex
	cuts map[string]cut      // guarded by mu
	left int                 // guarded by mu; exchanges that may follow
	dead map[netip.Addr]bool // guarded by mu; who has answered nothing: others are asked first
}

func newWalk(o Options, q Question) *walk {
	root, ours := cut{zone: "."}, map[netip.Addr]bool{}
	for _, a := range o.Roots {
		root.servers = append(root.servers, server{host: "root.", addrs: []netip.Addr{a}})
		ours[a] = true
	}
	for _, a := range q.Addresses {
		ours[a] = true
	}
	return &walk{journey: &journey{dial: o.Dial, ours: ours, cuts: map[string]cut{".": root}, left: maxAsked + len(q.Names)*maxPerName, dead: map[netip.Addr]bool{}}}
}

// strange reports whether strangers, whose zones say which servers to ask, shall not make us ask an address: this
// host, and what clouds serve to machines beside the network.
func (w *walk) strange(a netip.Addr) bool {
	a = a.Unmap()
	return !w.ours[a] && (!a.IsValid() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast())
}

func (w *walk) learn(c cut) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[c.zone] = c
}

// closest is the longest known zone that a name is in; above: that it is strictly below.
func (w *walk) closest(name string, above bool) cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	off, end := 0, false
	if above {
		off, end = dns.NextLabel(name, 0)
	}
	for ; !end; off, end = dns.NextLabel(name, off) {
		if c, ok := w.cuts[name[off:]]; ok {
			return c
		}
	}
	return w.cuts["."]
}

// find asks until there is an answer with authority. Aliases are not followed. What the parent alone knows, a
// delegation (NS) or DS, is asked above the name.
func (w *walk) find(ctx context.Context, name string, qtype uint16) (*dns.Msg, cut, error) {
	above := qtype == dns.TypeDS
	for range maxSteps {
		c := w.closest(name, above)
		m, err := w.anyOf(ctx, c, name, qtype)
		if err != nil {
			return nil, c, err
		}
		next, ok := referral(m, c.zone, name)
		if !ok {
			return m, c, nil
		}
		if above && next.zone == name {
			return m, c, nil // an odd server: it knows the delegation, and nothing of a DS
		}
		w.learn(next)
	}
	return nil, cut{}, fmt.Errorf("%s: %w", name, errLoop)
}

// referral reads a delegation that is on the way from a zone to a name.
func referral(m *dns.Msg, from, name string) (cut, bool) {
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) > 0 {
		return cut{}, false
	}
	var c cut
	for _, rr := range m.Ns {
		if rr.Header().Rrtype == dns.TypeSOA {
			return cut{}, false
		}
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		zone := dns.CanonicalName(ns.Hdr.Name)
		if zone == from || !dns.IsSubDomain(from, zone) || !dns.IsSubDomain(zone, name) || c.zone != "" && c.zone != zone {
			continue
		}
		c.zone = zone
		c.servers = append(c.servers, server{host: dns.CanonicalName(ns.Ns)})
	}
	for i := range c.servers {
		c.servers[i].addrs = glue(m, c.servers[i].host)
	}
	return c, c.zone != ""
}

func glue(m *dns.Msg, host string) []netip.Addr {
	var out []netip.Addr
	for _, rr := range slices.Concat(m.Answer, m.Extra) {
		if dns.CanonicalName(rr.Header().Name) == host {
			if a, ok := addrOf(rr); ok {
				out = append(out, a)
			}
		}
	}
	return out
}

func addrOf(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		return netip.AddrFromSlice(rr.A.To4())
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA.To16())
	}
	return netip.Addr{}, false
}

// anyOf puts a question to the servers of a zone, one after the other, until one answers it.
func (w *walk) anyOf(ctx context.Context, c cut, name string, qtype uint16) (*dns.Msg, error) {
	var last error = errSilent
	asked := 0
	for a, host := range w.places(ctx, c.servers) {
		if asked++; asked > maxServers {
			return nil, last
		}
		m, err := w.ask(ctx, a, name, qtype)
		switch {
		case errors.Is(err, errEffort) || ctx.Err() != nil:
			return nil, err
		case err != nil:
			last = fmt.Errorf("%s (%s): %w", strings.TrimSuffix(host, "."), a, err)
		case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
			last = fmt.Errorf("%s (%s): %s", strings.TrimSuffix(host, "."), a, dns.RcodeToString[m.Rcode])
		default:
			return m, nil
		}
	}
	return nil, fmt.Errorf("%s %s: %w", name, dns.TypeToString[qtype], last)
}

// places are the addresses of servers with their names, those at the end that have answered nothing before: each costs the time of
// a few questions.
func (w *walk) places(ctx context.Context, servers []server) iter.Seq2[netip.Addr, string] {
	return func(yield func(netip.Addr, string) bool) {
		type place struct {
			at   netip.Addr
			host string
		}
		var last []place
		for _, s := range servers {
			addrs := s.addrs
			if len(addrs) == 0 {
				addrs = w.addresses(ctx, s.host)
			}
			for _, a := range addrs {
				if w.isDead(a) {
					last = append(last, place{a, s.host})
				} else if !yield(a, s.host) {
					return
				}
			}
		}
		for _, p := range last {
			if !yield(p.at, p.host) {
				return
			}
		}
	}
}

func (w *walk) isDead(a netip.Addr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead[a]
}

// addresses finds those of a name server without glue.
func (w *walk) addresses(ctx context.Context, host string) []netip.Addr {
	if w.depth >= maxDepth {
		return nil
	}
	w.depth++
	defer func() { w.depth-- }()
	out, _, _ := w.resolve(ctx, host)
	return out
}

// resolve returns the addresses of a name, and the names that its aliases lead through.
func (w *walk) resolve(ctx context.Context, name string) (addrs []netip.Addr, through []string, err error) {
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, names, err := w.follow(ctx, name, qtype)
		if err != nil {
			return nil, names, err
		}
		through = names
		for _, rr := range m.Answer {
			if a, ok := addrOf(rr); ok {
				addrs = append(addrs, a)
			}
		}
	}
	return addrs, through, nil
}

// follow is find that follows aliases, each from the root down: the last answer, and the names on the way.
func (w *walk) follow(ctx context.Context, name string, qtype uint16) (*dns.Msg, []string, error) {
	var through []string
	for range maxSteps {
		m, _, err := w.find(ctx, name, qtype)
		if err != nil {
			return nil, through, err
		}
		to := aliasOf(m, name)
		if to == "" || slices.Contains(through, to) {
			if to != "" {
				return nil, through, fmt.Errorf("%s: %w", name, errLoop)
			}
			return keep(m, name, qtype), through, nil
		}
		through, name = append(through, to), to
	}
	return nil, through, fmt.Errorf("%s: %w", name, errLoop)
}

// aliasOf is the target of the CNAME at a name, "" if there is none.
func aliasOf(m *dns.Msg, name string) string {
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok && dns.CanonicalName(c.Hdr.Name) == name {
			return dns.CanonicalName(c.Target)
		}
	}
	return ""
}

// keep leaves in an answer what was asked for.
func keep(m *dns.Msg, name string, qtype uint16) *dns.Msg {
	m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool {
		return rr.Header().Rrtype != qtype || dns.CanonicalName(rr.Header().Name) != name
	})
	return m
}

// ask puts one question to one address: over UDP, once more if the packet is lost, over TCP if it does not fit.
func (w *walk) ask(ctx context.Context, a netip.Addr, name string, qtype uint16) (m *dns.Msg, err error) {
	for _, network := range []string{"udp", "udp", "tcp"} {
		if network == "udp" && err != nil && !errors.Is(err, errSilent) {
			continue
		}
		if network == "tcp" && (err != nil || !m.Truncated) || network == "udp" && m != nil {
			continue
		}
		m, err = w.exchange(ctx, network, a, name, qtype)
	}
	if errors.Is(err, errSilent) && ctx.Err() == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.dead[a] = true
	}
	return m, err
}

func (w *walk) exchange(ctx context.Context, network string, a netip.Addr, name string, qtype uint16) (*dns.Msg, error) {
	if w.strange(a) {
		return nil, errStrange
	}
	w.mu.Lock()
	w.left--
	spent := w.left < 0
	w.mu.Unlock()
	if spent {
		return nil, errEffort
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := w.dial(ctx, network, netip.AddrPortFrom(a, 53).String())
	switch {
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return nil, errNoWay
	case err != nil:
		return nil, errSilent
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.RecursionDesired = false
	q.SetEdns0(dns.DefaultMsgSize, false)
	m, _, err := new(dns.Client).ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: c, UDPSize: dns.DefaultMsgSize})
	if err != nil {
		return nil, errSilent
	}
	return m, nil
}
