package tunnel

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/liveness"
)

// place is which of the addresses of a name a peer is called at. The peer roams when the name does not have that one any
// more; while it does not answer, all that the name has are tried in turn, and behind them the one before, where it
// may be still.
type place struct {
	host   string
	using  netip.Addr // invalid: none is known
	before netip.Addr // where it was; invalid once it has answered at another one
}

// learn takes the addresses that the name has now.
func (p *place) learn(has []netip.Addr) {
	if len(has) == 0 || slices.Contains(has, p.using) {
		return
	}
	if p.using.IsValid() {
		p.before = p.using
	}
	p.using = has[0]
}

// next goes on to the next address.
func (p *place) next(has []netip.Addr) {
	if p.before.IsValid() && !slices.Contains(has, p.before) {
		has = append(has, p.before)
	}
	if len(has) > 0 {
		p.using = has[(slices.Index(has, p.using)+1)%len(has)]
	}
}

// places are those of the peers that are reached by a name. Their lock is taken last.
type places struct {
	mu sync.Mutex
	of map[string]*place // guarded by mu; by peer id
}

// addresses are those of a name that can be sent to.
func (t *Tunnel) addresses(host string) []netip.Addr {
	return slices.DeleteFunc(t.names.Addrs(host), func(a netip.Addr) bool { return !sendable(a) })
}

// knowLocked makes the places those of the wanted peers, and the names theirs. A name that is new is taken for the address
// that it is known to have had, until it is looked up.
func (t *Tunnel) knowLocked() {
	where, hosts := map[string]*place{}, map[string]bool{}
	t.where.mu.Lock()
	defer t.where.mu.Unlock()
	for _, p := range t.want {
		if p.Endpoint.Host == "" {
			continue
		}
		hosts[p.Endpoint.Host] = true
		at := t.where.of[p.ID]
		if at == nil || at.host != p.Endpoint.Host {
			at = &place{host: p.Endpoint.Host, using: p.Endpoint.Addr.Addr()}
			at.learn(t.addresses(at.host))
		}
		where[p.ID] = at
	}
	t.where.of = where
	t.names.Apply(slices.Collect(maps.Keys(hosts)))
}

// reachedLocked is the wanted peers, each with the address at which it is called.
func (t *Tunnel) reachedLocked() []Peer {
	out := slices.Clone(t.want)
	t.where.mu.Lock()
	defer t.where.mu.Unlock()
	for i, p := range out {
		if at := t.where.of[p.ID]; at != nil {
			out[i].Endpoint.Addr = netip.AddrPortFrom(at.using, p.Endpoint.Addr.Port())
		}
	}
	return out
}

// ask has the name of a peer looked up.
func (t *Tunnel) ask(id string) {
	t.where.mu.Lock()
	defer t.where.mu.Unlock()
	if at := t.where.of[id]; at != nil {
		t.names.Ask(at.host)
	}
}

// arrived takes that a peer answers: where it was before is of no use any more if that is where it is called. It may be
// an answer from there that was on its way, or one in TLS.
func (t *Tunnel) arrived(id string) {
	if !t.remembers(id) {
		return
	}
	peers := t.Peers()
	i := slices.IndexFunc(peers, func(p PeerState) bool { return p.ID == id && p.Transport == TransportUDP })
	if i < 0 {
		return
	}
	t.where.mu.Lock()
	defer t.where.mu.Unlock()
	if at := t.where.of[id]; at != nil && at.using == peers[i].Endpoint.Addr().Unmap() {
		at.before = netip.Addr{}
	}
}

// remembers reports whether it is known where a peer was before.
func (t *Tunnel) remembers(id string) bool {
	t.where.mu.Lock()
	defer t.where.mu.Unlock()
	at := t.where.of[id]
	return at != nil && at.before.IsValid()
}

// nextAddress goes on to the next address of a peer that is reached by a name.
func (t *Tunnel) nextAddress(id string) (netip.Addr, bool) {
	t.where.mu.Lock()
	defer t.where.mu.Unlock()
	at := t.where.of[id]
	if at == nil {
		return netip.Addr{}, false
	}
	at.next(t.addresses(at.host))
	return at.using, true
}

// endpointLocked tells the device again where a peer is; of one that has several addresses, the next one.
func (t *Tunnel) endpointLocked(p Peer) error {
	if addr, ok := t.nextAddress(p.ID); ok {
		p.Endpoint.Addr = netip.AddrPortFrom(addr, p.Endpoint.Addr.Port())
		if err := t.applyLocked(t.reachedLocked()); err != nil {
			return err
		}
	}
	if !p.Endpoint.Addr.IsValid() {
		return nil
	}
	return t.wg.IpcSet(fmt.Sprintf("public_key=%s\nupdate_only=true\nendpoint=%s\n", p.Key.Hex(), p.Endpoint.Addr))
}

// learn takes the addresses that a name has, and gives the peers that are elsewhere now.
func (t *Tunnel) learn(host string) (moved []string) {
	t.where.mu.Lock()
	defer t.where.mu.Unlock()
	has := t.addresses(host)
	for id, at := range t.where.of {
		was := at.using
		if at.host == host {
			at.learn(has)
		}
		if at.using != was {
			moved = append(moved, id)
			t.log.Info("a peer's name has another address", "peer", id, "name", host, "was", was, "addr", at.using)
		}
	}
	return moved
}

// renamed takes that a name has other addresses: its peers roam there, and those that are down are called at once.
func (t *Tunnel) renamed(host string) {
	t.mu.Lock()
	if t.wg == nil {
		t.mu.Unlock()
		return
	}
	moved := t.learn(host)
	err := t.applyLocked(t.reachedLocked())
	t.mu.Unlock()
	t.states.forget()
	if err != nil {
		t.log.Warn("a peer's new address is not taken", "name", host, "err", err)
	}
	for _, id := range moved {
		if !t.heal.stuck(id, time.Now()) {
			t.heal.moved(id)
		} else if err := t.heals(id, liveness.Rekey); err != nil { // the next one may be seconds away
			t.log.Debug("heal tunnel", "peer", id, "step", liveness.Rekey.String(), "err", err)
		}
	}
}

// wander looks for UDP where it is silent: idle peers are asked, and it goes on to the next address of those that it does not
// reach where they are called. In TLS their tunnels are up, and nothing else would look for them elsewhere. The device goes
// on by TLS until it hears them over UDP.
func (t *Tunnel) wander() {
	ask, elsewhere := t.bind.ways.Load().silent(time.Now())
	for _, id := range ask {
		t.beats.Doubt(id)
	}
	if len(elsewhere) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range elsewhere {
		t.ask(id)
		t.nextAddress(id)
	}
	reached := t.reachedLocked()
	t.bind.apply(reached)
	for _, p := range reached {
		if have, ok := t.have[p.Key]; ok {
			have.Endpoint = p.Endpoint
			t.have[p.Key] = have
		}
	}
}
