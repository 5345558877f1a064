package acmetest

import (
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Violation is a request inside of a Retry-After.
type Violation struct {
	Kind    Kind
	Account string
	Path    string
	Early   time.Duration
}

// book is what a Proxy has seen.
type book struct {
	requests  map[Kind]int
	faults    map[Fault]int
	newOrders map[string]int // names → orders that the CA made
	finalized map[string]int // path of finalize → how often the CA accepted it
	failed    map[string]string
	issued    map[string]bool // paths of certificates in orders
	limits    map[limitKey]span
	polls     map[string]time.Time // path → not before
	broken    []Violation
	early     []Violation
}

type limitKey struct {
	account string
	kind    Kind
}

type span struct{ from, until time.Time }

// inFlight is how long after a 429 others of its account can't have heard of it: they were on their way.
const inFlight = 250 * time.Millisecond

func newBook() book {
	return book{
		requests: map[Kind]int{}, faults: map[Fault]int{}, newOrders: map[string]int{}, finalized: map[string]int{},
		failed: map[string]string{}, issued: map[string]bool{}, limits: map[limitKey]span{}, polls: map[string]time.Time{},
	}
}

func (b *book) arrived(a asked, now time.Time) {
	b.requests[a.kind]++
	if l := b.limits[limitKey{a.account, a.kind}]; now.After(l.from.Add(inFlight)) && now.Before(l.until) {
		b.broken = append(b.broken, Violation{a.kind, a.account, a.path, l.until.Sub(now)})
	}
	if until := b.polls[a.path]; now.Before(until) {
		b.early = append(b.early, Violation{a.kind, a.account, a.path, until.Sub(now)})
	}
}

func (b *book) limited(a asked, now, until time.Time) {
	k := limitKey{a.account, a.kind}
	if l := b.limits[k]; now.Before(l.until) { // those who heard the first have to obey from then on
		now, until = l.from, later(l.until, until)
	}
	b.limits[k] = span{now, until}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// answered reads what the CA said, whether or not the client will.
func (b *book) answered(a asked, status int, h http.Header, body []byte, now time.Time) {
	until := retryAfter(h, now)
	if !until.IsZero() && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) {
		b.limited(a, now, until)
		return
	}
	if status/100 != 2 {
		return
	}
	delete(b.polls, a.path)
	if !until.IsZero() && (a.kind == OrderRead || a.kind == AuthzRead) {
		b.polls[a.path] = until
	}
	var o struct {
		Status, Certificate string
		Identifier          struct{ Value string }
	}
	_ = json.Unmarshal(body, &o) // chains are no JSON
	switch a.kind {
	case NewOrder:
		b.newOrders[a.names]++
	case Finalize:
		b.finalized[a.path]++
	case AuthzRead:
		if o.Status == "invalid" {
			b.failed[a.path] = o.Identifier.Value
		}
	}
	if o.Certificate != "" {
		b.issued[o.Certificate] = true
	}
}

func retryAfter(h http.Header, now time.Time) time.Time {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil {
		return now.Add(time.Duration(n) * time.Second)
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return time.Time{}
	}
	return t
}

// Requests counts what arrived, by kind.
func (p *Proxy) Requests() map[Kind]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.book.requests)
}

// Done counts the faults that were done.
func (p *Proxy) Done() map[Fault]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.book.faults)
}

// NewOrders counts the orders that the CA has made for each set of names (sorted, joined by commas), whether
// or not the client learned of them.
func (p *Proxy) NewOrders() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.book.newOrders)
}

// Finalized counts for each finalize URL's path how often the CA has accepted it.
func (p *Proxy) Finalized() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.book.finalized)
}

// FailedValidations names the authorizations that were seen invalid: path → name.
func (p *Proxy) FailedValidations() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.book.failed)
}

// Issued counts the certificates that were named in replies.
func (p *Proxy) Issued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.book.issued)
}

// Violations are requests of an account and kind inside of the Retry-After of a 429 or 503 that it got for
// this kind. Those that came within a quarter of a second were on their way.
func (p *Proxy) Violations() []Violation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Violation(nil), p.book.broken...)
}

// EarlyPolls are reads of an order or authorization before the Retry-After of its last reply.
func (p *Proxy) EarlyPolls() []Violation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Violation(nil), p.book.early...)
}

// String sums up, for the log of a test.
func (p *Proxy) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	_ = enc.Encode(map[string]any{
		"requests": p.book.requests, "faults": p.book.faults, "orders": len(p.book.newOrders), "failed": len(p.book.failed),
		"violations": len(p.book.broken), "early": len(p.book.early),
	})
	return strings.TrimSpace(b.String())
}
