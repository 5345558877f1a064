package acmetest

import "strings"

// Spent is what a CA counts against the limits of those who order (letsencrypt.org/docs/rate-limits), over all that a Proxy has seen.
type Spent struct {
	Orders       int
	Certificates map[string]int // by set of names: sorted, joined by commas
	Failed       map[string]int // validations, by identifier
}

// Spent counts by what the CA has done, whether or not the client learned of it. An order that was seen invalid counts as a failed validation
// of each of its names.
func (p *Proxy) Spent() Spent {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Spent{Certificates: map[string]int{}, Failed: map[string]int{}}
	for _, n := range p.book.newOrders {
		s.Orders += n
	}
	for path := range p.book.finalized {
		if o := p.book.orders[id(path)]; o != nil {
			s.Certificates[o.names]++
		}
	}
	for _, names := range p.book.invalid {
		for name := range strings.SplitSeq(names, ",") {
			s.Failed[name]++
		}
	}
	return s
}
