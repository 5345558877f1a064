package policy

import (
	"slices"
	"time"
)

// question is Facts in the form in which rules look at them.
type question struct {
	Facts
	country country
	octets  []byte // of the path, in one reading of it

	zone   *time.Location // of the last window that was looked at
	day    time.Weekday   // there
	minute int
}

// pathRoom is up to how long a path is decided about without an allocation.
const pathRoom = 512

// applies reports whether a rule is about a request: all its conditions hold, and none of Unless.
func (c *Compiled) applies(r *rule, q *question) bool {
	for i := r.match.from; i < r.match.to; i++ {
		if !c.holds(&c.tests[i], q) {
			return false
		}
	}
	for i := r.unless.from; i < r.unless.to; i++ {
		t := &c.tests[i]
		if c.holds(t, q) || r.action == Allow && t.unknown(q) {
			return false
		}
	}
	return true
}

// unknown reports whether a test is about a place that is not known.
func (t *test) unknown(q *question) bool {
	return t.kind == byCountry && q.Country == "" || t.kind == byASN && q.ASN == 0
}

// holds reports whether one of a test's entries does.
func (c *Compiled) holds(t *test, q *question) bool {
	from, to := t.entries.from, t.entries.to
	switch t.kind {
	case byMethod:
		return slices.Contains(c.lists.methods[from:to], q.Method)
	case byCountry:
		return q.country != 0 && slices.Contains(c.lists.countries[from:to], q.country)
	case byASN:
		_, ok := slices.BinarySearch(c.lists.asns[from:to], q.ASN)
		return ok && q.ASN != 0
	case byNetwork:
		for _, n := range c.lists.networks[from:to] {
			if n.Contains(q.Client) {
				return true
			}
		}
	case byTable:
		return c.lists.tables[from].Contains(q.Client)
	case byPath:
		return q.Path != "" && c.onPath(c.lists.paths[from:to], q.octets) // "": not HTTP
	case byWindow:
		return q.within(c.lists.windows[from:to])
	case byHeader:
		return q.withHeader(c.lists.headers[from:to])
	}
	return false
}

func (c *Compiled) onPath(paths []Path, octets []byte) bool {
	for i := range paths {
		if paths[i].match(octets) {
			return true
		}
	}
	return false
}

func (q *question) within(windows []window) bool {
	for i := range windows {
		w := &windows[i]
		if q.zone != w.zone {
			at := q.Time.In(w.zone)
			q.zone, q.day, q.minute = w.zone, at.Weekday(), at.Hour()*60+at.Minute()
		}
		if w.contains(q.day, q.minute) {
			return true
		}
	}
	return false
}

func (q *question) withHeader(headers []Header) bool {
	for i := range headers {
		h := &headers[i]
		got, ok := q.Header[h.Name]
		if ok && len(h.Values) == 0 {
			return true
		}
		for _, v := range got {
			if slices.Contains(h.Values, v) {
				return true
			}
		}
	}
	return false
}
