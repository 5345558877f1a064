package gossip

import "encoding/binary"

// word is what a node says of itself: that it is draining, or not. It travels with its life, which memberlist
// tells, and on its answers to probes. The first is fast but may miss somebody: each node passes it on a few
// times, to whom chance picks. The second reaches everybody within a round of probes.
type word struct {
	epoch    uint64 // of the node's process; 0 if it is too old to say
	count    uint64 // of the word in it, so that the two ways don't overtake each other
	draining bool
}

// Meta data of a member: a version, flags, then the epoch and the count. Nodes from before these two look at the
// first bytes only.
const (
	metaVersion  byte = 1
	metaDraining byte = 1
)

func (w word) meta() []byte {
	b := []byte{metaVersion, 0}
	if w.draining {
		b[1] |= metaDraining
	}
	b = binary.BigEndian.AppendUint64(b, w.epoch)
	return binary.AppendUvarint(b, w.count)
}

// wordOf takes what it can.
func wordOf(meta []byte) word {
	r := reader{rest: meta}
	if r.byte() != metaVersion {
		return word{}
	}
	w := word{draining: r.byte()&metaDraining != 0}
	epoch, count := r.uint64(), r.uvarint()
	if r.err == nil {
		w.epoch, w.count = epoch, count
	}
	return w
}

// after reports whether a word counts when another was heard before it. That of another process always does.
func (w word) after(o word) bool { return w.epoch == 0 || w.epoch != o.epoch || w.count >= o.count }

// say makes draining the own word. It needs the lock.
func (g *Gossip) say(draining bool) word {
	if g.own.draining != draining {
		g.own.count++
		g.own.draining = draining
	}
	g.own.epoch = g.records.own.epoch
	return g.own
}

// heed takes a peer's word, and reports whether it was news. It needs the lock.
func (g *Gossip) heed(id string, w word) (changed bool) {
	if _, peer := g.places[id]; !peer && !g.members[id] || !w.after(g.words[id]) {
		return false
	}
	changed = g.words[id].draining != w.draining
	g.words[id] = w
	g.life.isDraining(id, w.draining)
	return changed
}
