package acmetest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

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

// Initiated counts by type the challenges that the CA was told to look at, each once.
func (p *Proxy) Initiated() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for _, kind := range p.book.initiated {
		out[kind]++
	}
	return out
}

// FailedValidations names the authorizations that were seen invalid: path → name.
func (p *Proxy) FailedValidations() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.book.failed)
}

// Entries returns the log of all requests, in the order of their arrival at the CA or of their fault.
func (p *Proxy) Entries() []Entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.book.entries)
}

// Duplicates names the sets of names for which the CA has made an order while it had another one that was
// neither valid nor invalid, as far as replies have told.
func (p *Proxy) Duplicates() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.book.twice)
}

// InvalidOrders names the orders that were seen invalid: path → names.
func (p *Proxy) InvalidOrders() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.book.invalid)
}

// Issued counts the certificates that were named in replies.
func (p *Proxy) Issued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.book.issued)
}

// Violations are requests of an account, of whatever kind, inside of the Retry-After of a 429 or 503 that it got; what is not signed counts as every
// account's. Those that Watch knows to have begun before their sender was through with that reply were on their way; so were those that nobody
// watches and that came within a second.
func (p *Proxy) Violations() []Violation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.book.waits.broken)
}

// Excused counts the requests inside of such a Retry-After that were on their way.
func (p *Proxy) Excused() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.book.waits.excused
}

// Awaiting counts the replies that said when to read an order or authorization again.
func (p *Proxy) Awaiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.book.waits.awaiting
}

// EarlyPolls are reads of an order or authorization before the Retry-After of its last reply.
func (p *Proxy) EarlyPolls() []Violation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.book.waits.early)
}

// Replaced counts for each certificate (RFC 9773 §4.1) the orders that the CA has made and that say they replace it.
func (p *Proxy) Replaced() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.book.replaces)
}

// String sums up, for the log of a test.
func (p *Proxy) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	_ = enc.Encode(map[string]any{
		"requests": p.book.requests, "faults": p.book.faults, "orders": len(p.book.newOrders), "failed": len(p.book.failed), "duplicates": len(p.book.twice),
		"violations": len(p.book.waits.broken), "excused": p.book.waits.excused, "early": len(p.book.waits.early), "awaiting": p.book.waits.awaiting,
	})
	return strings.TrimSpace(b.String())
}
