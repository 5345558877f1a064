package preflight

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Facts are what the DNS says, as far as it was found out.
type Facts struct {
	Delegation Delegation
	Names      map[string]NameFacts // by canonical hostname, without "*."
}

// Delegation is what the zone above a domain says, and how the servers that it names answer.
type Delegation struct {
	Parent  string              // the zone above, "." for the root
	Sets    map[string][]string // by server of the parent that was asked: the name servers that it names, sorted
	Glue    map[string][]netip.Addr
	Signed  bool              // the parent has a DS record
	Keyed   bool              // our servers answer with a DNSKEY
	Answers map[string]string // by "host address": "" if it answers with authority, else what is wrong
	Silent  map[string]bool   // those of them at which nobody answers anything
	Err     error             // why the parent could not be asked
}

// NameFacts are about one hostname.
type NameFacts struct {
	Alias        []string     // names that _acme-challenge.<name> leads through
	Servers      []netip.Addr // of the zone that it ends in
	Cut          string       // a zone that begins at _acme-challenge.<name>; "" if none
	ChallengeErr error
	CAA          []CAA  // the relevant set; none: anybody may issue
	CAAAt        string // where it stands
	CAAErr       error
	Addresses    []netip.Addr
	Through      []string // names that the hostname is an alias of
	AddressErr   error
}

// CAA is one property of a CAA record (RFC 8659 §4.1).
type CAA struct {
	Flag       uint8
	Tag, Value string
}

// atATime is how many names are asked about at once.
const atATime = 8

// gather asks for all that an answer can depend on. What can't be found out is in the facts.
func gather(ctx context.Context, w *walk, q Question) Facts {
	f := Facts{Names: map[string]NameFacts{}}
	apex := dns.Fqdn(q.Apex)
	f.Delegation = w.delegation(ctx, apex)
	w.answers(ctx, apex, q.Servers, &f.Delegation)
	var group errgroup.Group
	group.SetLimit(atATime)
	var mu sync.Mutex
	for _, name := range q.hostnames() {
		group.Go(func() error {
			n := (&walk{journey: w.journey}).name(ctx, dns.Fqdn(name))
			mu.Lock()
			defer mu.Unlock()
			f.Names[name] = n
			return nil
		})
	}
	_ = group.Wait()
	return f
}

// maxParents is how many servers of the parent are asked for the delegation: they may disagree for a while.
const maxParents = 4

func (w *walk) delegation(ctx context.Context, apex string) Delegation {
	d := Delegation{Sets: map[string][]string{}, Glue: map[string][]netip.Addr{}, Answers: map[string]string{}, Silent: map[string]bool{}}
	parent, err := w.above(ctx, apex)
	d.Parent = parent.zone
	if err != nil {
		d.Err = err
		return d
	}
	asked := 0
	for _, s := range parent.servers {
		addrs := s.addrs
		if len(addrs) == 0 {
			addrs = w.addresses(ctx, s.host)
		}
		for _, a := range addrs {
			if asked++; asked > maxParents {
				break
			}
			m, err := w.ask(ctx, a, apex, dns.TypeNS)
			if err != nil {
				d.Err = err
				continue
			}
			set := []string{}
			for _, rr := range slices.Concat(m.Answer, m.Ns) {
				if ns, ok := rr.(*dns.NS); ok && dns.CanonicalName(ns.Hdr.Name) == apex {
					host := dns.CanonicalName(ns.Ns)
					set = append(set, strings.TrimSuffix(host, "."))
					for _, at := range glue(m, host) {
						if known := d.Glue[strings.TrimSuffix(host, ".")]; !slices.Contains(known, at) {
							d.Glue[strings.TrimSuffix(host, ".")] = append(known, at)
						}
					}
				}
			}
			slices.Sort(set)
			d.Sets[a.String()] = slices.Compact(set)
		}
	}
	if len(d.Sets) > 0 {
		d.Err = nil // one that does not answer is the parent's trouble
	}
	if m, _, err := w.find(ctx, apex, dns.TypeDS); err == nil {
		d.Signed = slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
			return rr.Header().Rrtype == dns.TypeDS && dns.CanonicalName(rr.Header().Name) == apex
		})
	} else if d.Err == nil {
		d.Err = err
	}
	return d
}

// above finds the zone in which a name is delegated, or would be. It learns nothing from the name's own servers.
func (w *walk) above(ctx context.Context, apex string) (cut, error) {
	for range maxSteps {
		c := w.closest(apex, true)
		m, err := w.anyOf(ctx, c, apex, dns.TypeNS)
		if err != nil {
			return c, err
		}
		next, ok := referral(m, c.zone, apex)
		if !ok {
			return c, nil
		}
		w.learn(next)
		if next.zone == apex {
			return c, nil
		}
	}
	return cut{}, errLoop
}

// answers asks our own servers that the parent names, at the addresses that resolvers get for them, all at once: some may be dead.
func (w *walk) answers(ctx context.Context, apex string, servers []Server, d *Delegation) {
	var group errgroup.Group
	group.SetLimit(atATime)
	var mu sync.Mutex
	for _, s := range servers {
		if !d.names(s.Host) {
			continue
		}
		addrs := d.Glue[s.Host]
		if len(addrs) == 0 {
			addrs = s.Addresses
		}
		for _, a := range addrs {
			group.Go(func() error {
				at := &walk{journey: w.journey}
				wrong, err := at.answer(ctx, a, apex)
				keyed := wrong == "" && d.Signed && at.keyed(ctx, a, apex)
				mu.Lock()
				defer mu.Unlock()
				if !errors.Is(err, errNoWay) {
					d.Answers[s.Host+" "+a.String()], d.Silent[s.Host+" "+a.String()] = wrong, errors.Is(err, errSilent)
				}
				d.Keyed = d.Keyed || keyed
				return nil
			})
		}
	}
	_ = group.Wait()
}

// answer is what is wrong with how one address answers for a zone, "" if nothing is, and why it did not answer at all.
func (w *walk) answer(ctx context.Context, a netip.Addr, apex string) (wrong string, err error) {
	m, err := w.ask(ctx, a, apex, dns.TypeSOA)
	switch {
	case err != nil:
		return err.Error(), err
	case m.Rcode != dns.RcodeSuccess:
		return dns.RcodeToString[m.Rcode], nil
	case !m.Authoritative, !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
		return rr.Header().Rrtype == dns.TypeSOA && dns.CanonicalName(rr.Header().Name) == apex
	}):
		return "answers without authority", nil
	}
	return "", nil
}

// keyed reports whether an address answers with the keys of a zone.
func (w *walk) keyed(ctx context.Context, a netip.Addr, apex string) bool {
	m, err := w.ask(ctx, a, apex, dns.TypeDNSKEY)
	return err == nil && slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDNSKEY })
}

// names reports whether a server of the parent names a host.
func (d *Delegation) names(host string) bool {
	for _, set := range d.Sets {
		if slices.Contains(set, host) {
			return true
		}
	}
	return false
}

func (w *walk) name(ctx context.Context, name string) NameFacts {
	var f NameFacts
	challenge := challengeLabel + name
	_, f.Alias, f.ChallengeErr = w.follow(ctx, challenge, dns.TypeTXT)
	if n := len(f.Alias); n > 0 {
		for _, s := range w.closest(f.Alias[n-1], false).servers {
			at := s.addrs
			if len(at) == 0 {
				at = w.addresses(ctx, s.host)
			}
			f.Servers = append(f.Servers, at...)
		}
	}
	if w.closest(challenge, false).zone == challenge {
		f.Cut = challenge
	}
	f.CAA, f.CAAAt, f.CAAErr = w.caa(ctx, name)
	f.Addresses, f.Through, f.AddressErr = w.resolve(ctx, name)
	return f
}

// caa climbs from a name to the set that counts (RFC 8659 §3).
func (w *walk) caa(ctx context.Context, name string) ([]CAA, string, error) {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		m, _, err := w.follow(ctx, name[off:], dns.TypeCAA)
		if err != nil {
			return nil, name[off:], err
		}
		var set []CAA
		for _, rr := range m.Answer {
			if c, ok := rr.(*dns.CAA); ok {
				set = append(set, CAA{c.Flag, strings.ToLower(c.Tag), c.Value})
			}
		}
		if len(set) > 0 {
			return set, name[off:], nil
		}
	}
	return nil, "", nil
}
