package gossip

import (
	"slices"
	"time"
)

// records are which sites have a connector connected at which node. Each node owns one record: the epoch
// of its process and a sequence number say which state of it somebody has. Small changes are told as
// deltas; every answer to a probe says which state is the newest; who is behind asks the owner for the
// whole record. So a lost delta costs a second, never the truth.
//
// It is pure: time is an argument, and what is to be sent is returned.
type records struct {
	self   string
	own    record
	others map[string]*record
}

type record struct {
	epoch, seq uint64
	sites      []string  // sorted; replaced, never modified
	newest     uint64    // seq that the owner is known to have; above seq: ask for it
	ask        time.Time // when
}

func (r *record) behind() bool { return r.newest > r.seq }

// lags takes note that the owner has a newer state.
func (r *record) lags(seq uint64, ask time.Time) {
	if !r.behind() {
		r.ask = ask
	}
	r.newest = max(r.newest, seq)
}

// How long an overtaken delta may take to arrive before the owner is asked, and until it is asked again.
const (
	askAfter = 150 * time.Millisecond
	askAgain = time.Second
)

func newRecords(self string, epoch uint64) *records {
	return &records{self: self, own: record{epoch: epoch}, others: map[string]*record{}}
}

// set replaces the own sites. It returns the message that tells of it, if anything changed.
func (r *records) set(sites []string) (m message, changed bool) {
	sites = slices.Clone(sites)
	slices.Sort(sites)
	sites = slices.Compact(sites)
	sites = slices.DeleteFunc(sites, func(s string) bool { return s == "" || len(s) > maxID })
	sites = sites[:min(len(sites), maxSites)]
	if r.own.seq > 0 && slices.Equal(sites, r.own.sites) {
		return message{}, false
	}
	add, remove := difference(r.own.sites, sites)
	r.own.seq++
	r.own.sites = sites
	m = message{kind: msgDelta, node: r.self, epoch: r.own.epoch, seq: r.own.seq, add: add, remove: remove}
	if len(m.encode()) > maxDelta {
		m = message{kind: msgAnnounce, node: r.self, epoch: r.own.epoch, seq: r.own.seq}
	}
	return m, true
}

// whole is the message with the own record.
func (r *records) whole() message {
	return message{kind: msgRecord, node: r.self, epoch: r.own.epoch, seq: r.own.seq, add: r.own.sites}
}

// expect drops what is known of nodes that are not among ids.
func (r *records) expect(ids []string) {
	next := make(map[string]*record, len(ids))
	for _, id := range ids {
		if next[id] = r.others[id]; next[id] == nil {
			next[id] = &record{}
		}
	}
	r.others = next
}

// forget drops the record of a node that is gone: its next process starts another.
func (r *records) forget(id string) {
	if _, ok := r.others[id]; ok {
		r.others[id] = &record{}
	}
}

// sites are those of a node; nil when it has not told.
func (r *records) sites(id string) []string {
	o := r.others[id]
	if o == nil || o.epoch == 0 || o.seq == 0 {
		return nil
	}
	if o.sites == nil {
		return []string{}
	}
	return o.sites
}

// take applies a delta, an announcement or a record. fresh says that it was news that others need, too;
// changed that sites of a node changed.
func (r *records) take(m message, now time.Time) (fresh, changed bool) {
	o := r.others[m.node]
	if o == nil || m.epoch == 0 {
		return false, false
	}
	switch m.kind {
	case msgRecord: // from its owner: the truth
		if m.epoch == o.epoch && m.seq < o.seq {
			return false, false
		}
		sites := slices.Clone(m.add)
		slices.Sort(sites)
		*o = record{epoch: m.epoch, seq: m.seq, sites: slices.Compact(sites)}
		return false, true
	case msgDelta:
		// The first delta of a process is its whole record.
		if o.epoch == 0 && m.seq == 1 {
			o.epoch = m.epoch
		}
		if m.epoch == o.epoch && m.seq == o.seq+1 {
			o.seq, o.sites = m.seq, patch(o.sites, m.add, m.remove)
			return true, true
		}
	}
	// Of another process, others' word is not enough: it may be older than what is known.
	if o.epoch != 0 && m.epoch != o.epoch || m.seq <= max(o.seq, o.newest) {
		return false, false
	}
	o.lags(m.seq, now.Add(askAfter))
	return m.kind == msgAnnounce, false
}

// compare takes a node's own word on which state it has.
func (r *records) compare(id string, p pulse, now time.Time) (changed bool) {
	o := r.others[id]
	if o == nil || p.epoch == 0 {
		return false
	}
	if p.epoch != o.epoch { // a new process: what the old one said is void
		changed = o.epoch != 0
		*o = record{epoch: p.epoch}
	}
	if p.seq > o.seq {
		o.lags(p.seq, now)
	}
	return changed
}

// wants are the nodes to ask for their record now, and when to look again; zero: not before more news.
func (r *records) wants(now time.Time) (ask []string, next time.Time) {
	for id, o := range r.others {
		if !o.behind() {
			continue
		}
		if !now.Before(o.ask) {
			ask = append(ask, id)
			o.ask = now.Add(askAgain)
		}
		if next.IsZero() || o.ask.Before(next) {
			next = o.ask
		}
	}
	slices.Sort(ask)
	return ask, next
}

// difference says what leads from have to want, both sorted.
func difference(have, want []string) (add, remove []string) {
	for len(have) > 0 && len(want) > 0 {
		switch {
		case have[0] == want[0]:
			have, want = have[1:], want[1:]
		case have[0] < want[0]:
			remove, have = append(remove, have[0]), have[1:]
		default:
			add, want = append(add, want[0]), want[1:]
		}
	}
	return append(add, want...), append(remove, have...)
}

// patch makes a sorted list of another; it changes neither.
func patch(have, add, remove []string) []string {
	out := make([]string, 0, len(have)+len(add))
	out = append(append(out, have...), add...)
	slices.Sort(out)
	out = slices.Compact(out)
	gone := make(map[string]bool, len(remove))
	for _, s := range remove {
		gone[s] = true
	}
	out = slices.DeleteFunc(out, func(s string) bool { return gone[s] })
	return out[:min(len(out), maxSites)]
}
