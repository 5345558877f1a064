package acmetest

import (
	"net/http"
	"time"
)

// wait is a time before which a client was asked not to come, with any request of its account or for a path.
type wait struct {
	from, until time.Time
	heard       time.Time // from when on all that begins knows of it; zero: not yet, or nobody watches
}

// inFlight is how long after a reply requests that nobody watches may have been on their way. Obeying is to the second.
const inFlight = time.Second

// too reports whether a request comes too early, and whether it may, since it was on its way when its sender was told.
func (w *wait) too(began, now time.Time) (early, excused bool) {
	switch {
	case !now.Before(w.until):
		return false, false
	case began.IsZero():
		return true, !now.After(w.from.Add(inFlight))
	}
	return true, w.heard.IsZero() || !began.After(w.heard)
}

// waits are the times of one book.
type waits struct {
	limits  map[string][]*wait // by account: after 429 and 503, for whatever is asked
	polls   map[string]*wait   // by path, after a reply that is no error
	unheard map[int]*wait      // by their number
	count   int

	broken   []Violation // of limits
	early    []Violation // of polls
	excused  int         // requests that were on their way at a limit
	awaiting int         // replies that said when to read again
}

func newWaits() waits {
	return waits{limits: map[string][]*wait{}, polls: map[string]*wait{}, unheard: map[int]*wait{}}
}

func (b *waits) add(from, until time.Time) (*wait, int) {
	w := &wait{from: from, until: until}
	b.count++
	b.unheard[b.count] = w
	return w, b.count
}

func (b *waits) heard(n int, now time.Time) {
	if w := b.unheard[n]; w != nil {
		w.heard = now
		delete(b.unheard, n)
	}
}

// arrived notes a request that should not have come. One that nobody signs counts as every account's.
func (b *waits) arrived(a asked, now time.Time) {
	late, excused := time.Duration(0), false
	for account, all := range b.limits {
		for _, w := range all {
			if a.account != account && a.account != "" {
				continue
			}
			if early, may := w.too(a.began, now); early && may {
				excused = true
			} else if early {
				late = max(late, w.until.Sub(now))
			}
		}
	}
	if late > 0 {
		b.broken = append(b.broken, Violation{a.kind, a.account, a.path, late})
	} else if excused {
		b.excused++
	}
	if w := b.polls[a.path]; w != nil {
		if early, may := w.too(a.began, now); early && !may {
			b.early = append(b.early, Violation{a.kind, a.account, a.path, w.until.Sub(now)})
		}
	}
}

// limited notes that an account is to wait, and returns the number of that.
func (b *waits) limited(a asked, now, until time.Time) int {
	w, n := b.add(now, until)
	all := b.limits[a.account]
	for len(all) > 0 && !now.Before(all[0].until) {
		all = all[1:]
	}
	b.limits[a.account] = append(all, w)
	return n
}

// polled notes when an order or authorization is to be read again, which the reply to another request may say, too; 0: it does not.
func (b *waits) polled(a asked, h http.Header, now time.Time) int {
	path := a.path
	switch a.kind {
	case Finalize:
		path = "/my-order/" + id(a.path)
	case OrderRead, AuthzRead:
	default:
		return 0
	}
	delete(b.polls, path)
	until := retryAfter(h, now)
	if until.IsZero() {
		return 0
	}
	w, n := b.add(now, until)
	w.from = now.Add(-inFlight) // one reader at a time: nothing else is on its way
	b.polls[path] = w
	b.awaiting++
	return n
}
