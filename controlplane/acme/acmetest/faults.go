package acmetest

import "time"

// Fault is one thing that a Proxy does to a request.
type Fault int

// Faults.
const (
	Pass      Fault = iota
	Fail            // 500, 502 or 503 with a problem document; the CA hears nothing
	Lose            // the CA does the work, and the connection ends without a reply
	Limit           // 429 with Retry-After; the CA hears nothing
	HTML            // 502 or 403 with HTML; the CA hears nothing
	HTMLAfter       // the CA does the work, and the reply is 200 with HTML
	Trickle         // the reply comes in small pieces
	Refuse          // the connection ends; the CA hears nothing
)

// Faults are shares of requests, of 1 in all at most, in which a Proxy does each fault.
type Faults struct {
	Fail, Lose, Limit, HTML, HTMLAfter, Trickle float64

	LimitFor   time.Duration // Retry-After of Limit, in whole seconds; 1 s if zero
	LimitSays  string        // detail of its problem; "": that there are too many requests of the kind
	TrickleFor time.Duration // how long a reply takes; 200 ms if zero

	Only []Kind // the kinds that it happens to; empty: all
}

// Limit never meets what is not signed: other clients of the address could not know of it.
func (f *Faults) pick(x float64, a asked) Fault {
	if len(f.Only) > 0 {
		found := false
		for _, k := range f.Only {
			found = found || k == a.kind
		}
		if !found {
			return Pass
		}
	}
	for _, s := range []struct {
		share float64
		fault Fault
	}{{f.Fail, Fail}, {f.Lose, Lose}, {f.Limit, Limit}, {f.HTML, HTML}, {f.HTMLAfter, HTMLAfter}, {f.Trickle, Trickle}} {
		if x < s.share {
			if s.fault == Limit && a.account == "" {
				return Fail
			}
			return s.fault
		}
		x -= s.share
	}
	return Pass
}
