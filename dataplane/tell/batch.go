package tell

import (
	"net/netip"
	"time"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/shared/policy"
)

// Bounds of a batch, and of what it says. Few hosts, paths and clients make most of the requests: each is said once.
const (
	mostRecords = 1000
	mostWords   = 512 << 10 // bytes
	mostRates   = 2000
	maxPath     = 512
	maxWord     = 320 // of anything else
)

// batch is records that go together.
type batch struct {
	msg   *nodev1.Records
	bytes int // of words
	words map[string]uint32
	addrs map[netip.Addr]uint32
	last  [columns]said // what most columns say once more
}

// said is a word, as the record before said it.
type said struct {
	text string
	at   uint32
}

// Columns of words.
const (
	service = iota
	site
	target
	relay
	method
	host
	path
	user
	reason
	failure
	columns
)

// newBatch makes a batch with room for so many records.
func newBatch(room int) *batch {
	m := &nodev1.Records{
		Ids: make([]byte, 0, 16*room), At: make([]int64, 0, room), Kind: make([]nodev1.RecordKind, 0, room), Decision: make([]nodev1.RecordDecision, 0, room),
		BytesIn: make([]uint64, 0, room), BytesOut: make([]uint64, 0, room), Decide: make([]uint64, 0, room), FirstByte: make([]uint64, 0, room), Total: make([]uint64, 0, room),
	}
	for _, c := range []*[]uint32{&m.Service, &m.Site, &m.Target, &m.Relay, &m.Client, &m.Method, &m.Host, &m.Path, &m.User, &m.Status, &m.Reason, &m.Error} {
		*c = make([]uint32, 0, room)
	}
	return &batch{msg: m, words: map[string]uint32{}, addrs: map[netip.Addr]uint32{}}
}

func (b *batch) full() bool { return len(b.msg.At) >= mostRecords || b.bytes >= mostWords }

// word is the place of a text of a column, which is cut to so many bytes.
func (b *batch) word(column int, s string, most int) uint32 {
	if s == "" {
		return 0
	}
	if len(s) > most {
		s = s[:most]
	}
	last := &b.last[column]
	if last.text == s {
		return last.at
	}
	i, ok := b.words[s]
	if !ok {
		i = b.add([]byte(s))
		b.words[s] = i
	}
	*last = said{s, i}
	return i
}

func (b *batch) address(a netip.Addr) uint32 {
	if !a.IsValid() {
		return 0
	}
	i, ok := b.addrs[a]
	if !ok {
		i = b.add(a.Unmap().AsSlice())
		b.addrs[a] = i
	}
	return i
}

func (b *batch) add(w []byte) uint32 {
	b.msg.Words = append(b.msg.Words, w)
	b.bytes += len(w)
	return uint32(len(b.msg.Words))
}

// record adds one. Words that say why are made once.
func (b *batch) record(r *requestlog.Record, whys map[policy.Decision]string) {
	m := b.msg
	at := r.At.UnixMicro()
	if len(m.At) == 0 {
		m.Base = at
	}
	m.At = append(m.At, at-m.Base)
	m.Ids = append(m.Ids, r.ID[:]...)
	m.Kind = append(m.Kind, nodev1.RecordKind(r.Kind)+nodev1.RecordKind_RECORD_KIND_HTTP)
	m.Service = append(m.Service, b.word(service, r.Service, maxWord))
	m.Site = append(m.Site, b.word(site, r.Site, maxWord))
	m.Target = append(m.Target, b.word(target, r.Target, maxWord))
	m.Relay = append(m.Relay, b.word(relay, r.Relay, maxWord))
	m.Client = append(m.Client, b.address(r.Client))
	m.Method = append(m.Method, b.word(method, r.Method, maxWord))
	m.Host = append(m.Host, b.word(host, r.Host, maxWord))
	m.Path = append(m.Path, b.word(path, r.Path, maxPath))
	m.User = append(m.User, b.word(user, r.User, maxWord))
	m.Status = append(m.Status, uint32(r.Status))
	m.BytesIn, m.BytesOut = append(m.BytesIn, uint64(max(r.In, 0))), append(m.BytesOut, uint64(max(r.Out, 0)))
	m.Decide, m.FirstByte, m.Total = append(m.Decide, micros(r.Decide)), append(m.FirstByte, micros(r.FirstByte)), append(m.Total, micros(r.Total))
	m.Decision = append(m.Decision, nodev1.RecordDecision(r.Decision)+nodev1.RecordDecision_RECORD_DECISION_ALLOWED)
	m.Reason = append(m.Reason, b.word(reason, why(r, whys), maxWord))
	m.Error = append(m.Error, b.word(failure, r.Error, maxWord))
}

// lost is how many of what are lost, if the batch is.
func (b *batch) lost() map[requestlog.RateKey]uint64 {
	word := func(i uint32) string {
		if i == 0 {
			return ""
		}
		return string(b.msg.Words[i-1])
	}
	out := map[requestlog.RateKey]uint64{}
	for i, s := range b.msg.Service {
		out[requestlog.RateKey{Service: word(s), Site: word(b.msg.Site[i])}]++
	}
	return out
}

// mostWhys bounds what is remembered of policies' words.
const mostWhys = 1000

func why(r *requestlog.Record, whys map[policy.Decision]string) string {
	if !r.ByPolicy {
		return r.Reason
	}
	s, ok := whys[r.Policy]
	if !ok {
		if len(whys) >= mostWhys {
			clear(whys)
		}
		s = r.Policy.Why()
		whys[r.Policy] = s
	}
	return s
}

func micros(d time.Duration) uint64 { return uint64(max(d, 0) / time.Microsecond) }

// windows makes what was counted into messages of so many rates at most.
func windows(c requestlog.Counted) (out []*nodev1.Window) {
	var w *nodev1.Window
	for k, r := range c.Rates {
		if w == nil || len(w.Rates) == mostRates {
			w = &nodev1.Window{Start: c.Start.Unix()}
			out = append(out, w)
		}
		m := &nodev1.Rate{
			ServiceId: k.Service, SiteId: k.Site, Requests: r.Requests, Statuses: r.Statuses[:], Denied: r.Denied, Failed: r.Failed,
			BytesIn: r.In, BytesOut: r.Out, Unlogged: r.Unlogged,
		}
		for i, n := range r.Took {
			if n > 0 {
				m.Buckets, m.Counts = append(m.Buckets, uint32(i)), append(m.Counts, uint64(n))
			}
		}
		w.Rates = append(w.Rates, m)
	}
	return out
}
