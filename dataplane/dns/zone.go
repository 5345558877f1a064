package dns

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/warrenedge/warren/shared/hostname"
)

// A view is one immutable state of all zones: readers load it once per query.
type view struct {
	cfg    Config
	serial uint32
	shape  *shape
	sets   []addresses // what the set numbers in shape stand for
	over   overlay
	err    error // the objects left out
}

// A shape is what a view keeps when only addresses, health or the serial change: by far the most frequent
// change, whose cost must not grow with the number of names.
type shape struct {
	zones map[string]*zone // by apex, lower case, with trailing dot
	pools map[string]int   // pool id → set number; the set of cfg.Nodes[i] is len(pools)+i
	err   error
}

// addresses are sorted, without repeats.
type addresses struct{ v4, v6 []netip.Addr }

type zone struct {
	origin string
	names  map[string]*name // by owner, lower case, with trailing dot; holds every name that exists
	apex   *name
	ns     []nameserver // sorted
	caa    []CAA
}

type nameserver struct {
	label string // of its host, with trailing dot
	set   int
}

// noSet marks a name that exists without addresses: an empty non-terminal, or the apex alone.
const noSet = -1

type name struct {
	set  int
	ttl  uint32
	wild *name // the "*" child, if there is one (RFC 4592 §2.1.1)
}

// newView builds the view of a Config; prev, which may be nil, lends its shape where that still holds.
func newView(cfg Config, prev *view) *view {
	v := &view{cfg: cfg, serial: cfg.Serial}
	if prev != nil && sameShape(prev.cfg, cfg) {
		v.shape = prev.shape
	} else {
		v.shape = newShape(cfg)
	}
	var bad []error
	v.sets, bad = newSets(cfg, v.shape.pools)
	over, worse := newOverlay(v.shape, cfg.Challenges)
	v.over = over
	v.err = errors.Join(slices.Concat([]error{v.shape.err}, bad, worse)...)
	return v
}

func sameShape(a, b Config) bool {
	return slices.EqualFunc(a.Zones, b.Zones, func(x, y Zone) bool {
		return x.ID == y.ID && x.Apex == y.Apex && x.Pool == y.Pool && slices.Equal(x.Issuers, y.Issuers) && slices.Equal(x.CAA, y.CAA)
	}) && slices.Equal(a.RecordSets, b.RecordSets) &&
		slices.EqualFunc(a.Nodes, b.Nodes, func(x, y Node) bool { return x.ID == y.ID && x.Name == y.Name && x.Pool == y.Pool })
}

func newShape(cfg Config) *shape {
	sh := &shape{zones: make(map[string]*zone, len(cfg.Zones)), pools: map[string]int{}}
	for _, n := range cfg.Nodes {
		sh.addPool(n.Pool)
	}
	for _, rs := range cfg.RecordSets {
		sh.addPool(rs.Pool)
	}
	members := map[string][]int{} // pool id → indices of cfg.Nodes
	for i, n := range cfg.Nodes {
		members[n.Pool] = append(members[n.Pool], i)
	}
	var bad []error
	byID := make(map[string]*zone, len(cfg.Zones))
	for _, zc := range cfg.Zones {
		z, errs := sh.addZone(zc, cfg.Nodes, members[zc.Pool])
		bad = append(bad, errs...)
		if z != nil {
			byID[zc.ID] = z
		}
	}
	for _, rs := range cfg.RecordSets {
		if err := byID[rs.Zone].addRecordSet(rs, sh.pools[rs.Pool]); err != nil {
			bad = append(bad, &ObjectError{Zone: rs.Zone, Owner: rs.Owner, Err: err})
		}
	}
	sh.err = errors.Join(bad...)
	return sh
}

func (sh *shape) addPool(id string) {
	if _, ok := sh.pools[id]; !ok {
		sh.pools[id] = len(sh.pools)
	}
}

// addZone returns nil if the zone itself can't be served; nodes that can't name a server are left out.
func (sh *shape) addZone(zc Zone, nodes []Node, members []int) (*zone, []error) {
	if apex, err := hostname.Canonical(zc.Apex); err != nil || apex != zc.Apex {
		return nil, []error{&ObjectError{Zone: zc.ID, Err: fmt.Errorf("apex %q: %w", zc.Apex, cmp.Or(err, errNotCanonical))}}
	}
	apex := zc.Apex + "."
	if _, err := hostname.Canonical(mailbox + zc.Apex); err != nil {
		return nil, []error{&ObjectError{Zone: zc.ID, Err: fmt.Errorf("apex %q: too long for its SOA: %w", zc.Apex, err)}}
	}
	if sh.zones[apex] != nil {
		return nil, []error{&ObjectError{Zone: zc.ID, Err: fmt.Errorf("apex %s: another zone has it", zc.Apex)}}
	}
	z := &zone{origin: apex, names: map[string]*name{}, apex: &name{set: noSet}}
	z.names[apex] = z.apex
	sh.zones[apex] = z
	var bad []error
	for _, c := range zc.CAA {
		if err := c.Validate(); err != nil {
			bad = append(bad, &ObjectError{Zone: zc.ID, Err: fmt.Errorf("CAA: %w", err)})
			continue
		}
		z.caa = append(z.caa, c)
	}
	for _, i := range zc.Issuers {
		if len(zc.CAA) > 0 {
			break
		}
		if c, err := hostname.Canonical(i); err != nil || c != i {
			bad = append(bad, &ObjectError{Zone: zc.ID, Err: fmt.Errorf("issuer %q: %w", i, cmp.Or(err, errNotCanonical))})
			continue
		}
		z.caa = append(z.caa, CAA{"issue", i})
	}
	for _, i := range members {
		label := "ns-" + nodes[i].Name + "."
		host := label + zc.Apex
		var err error
		if c, cerr := hostname.Canonical(host); cerr != nil || c != host {
			err = cmp.Or(cerr, errNotCanonical)
		} else if z.names[host+"."] != nil {
			err = errors.New("another node has it")
		}
		if err != nil {
			bad = append(bad, &ObjectError{Zone: zc.ID, Node: nodes[i].ID, Err: fmt.Errorf("name server %q: %w", host, err)})
			continue
		}
		set := len(sh.pools) + i
		z.add(host+".", set, nsTTL)
		z.ns = append(z.ns, nameserver{label: label, set: set})
	}
	slices.SortFunc(z.ns, func(a, b nameserver) int { return cmp.Compare(a.label, b.label) })
	return z, bad
}

var errNotCanonical = errors.New("not in canonical form")

func (z *zone) addRecordSet(rs RecordSet, set int) error {
	if z == nil {
		return fmt.Errorf("zone %s: not served here", rs.Zone)
	}
	if owner, err := hostname.CanonicalPattern(rs.Owner); err != nil || owner != rs.Owner {
		return fmt.Errorf("owner: %w", cmp.Or(err, errNotCanonical))
	}
	if apex := strings.TrimSuffix(z.origin, "."); !hostname.Within(rs.Owner, apex) {
		return fmt.Errorf("owner: not within zone %s", apex)
	}
	if rs.TTL > math.MaxInt32 {
		return fmt.Errorf("ttl %d: above 2147483647 (RFC 2181 §8)", rs.TTL)
	}
	if n := z.names[rs.Owner+"."]; n != nil && n.set != noSet {
		return errors.New("owner: another record set or a name server has it")
	}
	z.add(rs.Owner+".", set, rs.TTL)
	return nil
}

// add makes owner exist, with all names between it and the apex (RFC 4592 §2.2.2).
func (z *zone) add(owner string, set int, ttl uint32) {
	n := z.names[owner]
	if n == nil {
		n = &name{set: noSet}
		z.names[owner] = n
	}
	n.set, n.ttl = set, ttl
	for owner != z.origin {
		label, parent, _ := strings.Cut(owner, ".")
		p := z.names[parent]
		known := p != nil
		if !known {
			p = &name{set: noSet}
			z.names[parent] = p
		}
		if label == "*" {
			p.wild = z.names[owner]
		}
		if known {
			return
		}
		owner = parent
	}
}

// nearEnough is how many live nodes of the answering node's own region are answered with alone. Resolvers ask
// the name server that is nearest to them, so its region is the best guess at the client's; one address would
// leave clients nothing to turn to until the answer expires.
const nearEnough = 2

// newSets resolves pools, then nodes, to addresses. A pool's are those of its nodes in the answering node's
// region that are neither draining nor down; when that leaves fewer than nearEnough nodes, those in all
// regions; when none, of all its nodes: an answer that may work beats none.
func newSets(cfg Config, pools map[string]int) ([]addresses, []error) {
	type candidates struct {
		near, live, all []netip.Addr
		nearby          int // nodes
	}
	of := make([]candidates, len(pools))
	sets := make([]addresses, len(pools)+len(cfg.Nodes))
	var bad []error
	for i, n := range cfg.Nodes {
		good := make([]netip.Addr, 0, len(n.Addresses))
		for _, a := range n.Addresses {
			if a = a.Unmap(); !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
				bad = append(bad, &ObjectError{Node: n.ID, Err: fmt.Errorf("address %q: not a unicast address", a)})
				continue
			}
			good = append(good, a)
		}
		sets[len(pools)+i] = newAddresses(good)
		p := &of[pools[n.Pool]]
		p.all = append(p.all, good...)
		if !n.Draining && !n.Down {
			p.live = append(p.live, good...)
			if n.Region != "" && n.Region == cfg.Region && len(good) > 0 {
				p.near = append(p.near, good...)
				p.nearby++
			}
		}
	}
	for set := range maps.Values(pools) {
		switch p := of[set]; {
		case p.nearby >= nearEnough:
			sets[set] = newAddresses(p.near)
		case len(p.live) > 0:
			sets[set] = newAddresses(p.live)
		default:
			sets[set] = newAddresses(p.all)
		}
	}
	return sets, bad
}

func newAddresses(in []netip.Addr) addresses {
	in = slices.Clone(in)
	slices.SortFunc(in, netip.Addr.Compare) // IPv4 before IPv6
	in = slices.Compact(in)
	i := slices.IndexFunc(in, netip.Addr.Is6)
	if i < 0 {
		i = len(in)
	}
	return addresses{v4: in[:i:i], v6: in[i:]}
}
