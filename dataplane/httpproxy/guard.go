package httpproxy

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/page"
	"github.com/warrenedge/warren/dataplane/strict"
	"github.com/warrenedge/warren/dataplane/terminate"
	"github.com/warrenedge/warren/shared/policy"
)

// Guard decides about requests of routes that have a policy. It is asked once for each, after everything that makes the
// request have one reading, and before a target is chosen.
type Guard interface {
	// Admit lets a request go on, or answers it and returns nil. What it sets in w's header goes out with the answer of the
	// target too; what it removes from r's the target does not see.
	Admit(w http.ResponseWriter, r *http.Request, v *Visit) *Pass
}

// Visit is a request as a Guard sees it.
type Visit struct {
	strict.Request
	ID      string // of the request
	Service string // id
	Policy  *policy.Compiled
	Client  netip.Addr
	Look    *page.Look  // of pages; nil: the node's own
	Cut     func(error) // ends the request, or the upgraded connection that it has become; may be called at any time
	Held    any         // the guard's own, from one of its steps to the next

	Decided  bool            // by the guard, for the request log: a policy has
	Decision policy.Decision // so

	session *session
}

// Pass is what a Guard lets a request go on with.
type Pass struct {
	Fields http.Header // that the target is told; nothing that a client sends under these names arrives
	User   string      // for the access log
	Login  string      // by which people know him, for the request log; "": by User
	Leave  func()      // called once the request is over; nil: nobody wants to know
}

// certified is what the certificates of a connection were worth to a policy.
type certified struct {
	policy *policy.Compiled
	proof  policy.Proof
	until  time.Time // zero: worth nothing
}

// Certificate gives what the certificates prove that the client has shown in the handshake. It verifies them once for each
// policy that the connection meets.
func (v *Visit) Certificate(at time.Time) (policy.Proof, bool) {
	s := v.session
	if s == nil || len(s.shown) == 0 {
		return policy.Proof{}, false
	}
	have := s.certified.Load()
	if have == nil || have.policy != v.Policy {
		have = &certified{policy: v.Policy}
		if proof, err := v.Policy.Certificate(s.shown, at); err == nil {
			have.proof, have.until = proof, s.shown[0].NotAfter
		}
		s.certified.Store(have)
	}
	return have.proof, at.Before(have.until)
}

// Clients is whose certificates clients are asked for where a policy decides; nil if they are asked for none.
func Clients(p *policy.Compiled) *terminate.Clients {
	if p.Authorities() == nil {
		return nil
	}
	return &terminate.Clients{Authorities: p.Authorities(), ID: p.ID() + " " + p.CertificateVersion()}
}

// papers are what a connection knows of its client's certificates.
type papers struct {
	shown     []*x509.Certificate
	certified atomic.Pointer[certified]
}

// SetGuard says who decides about routes that have a policy; without anybody, nobody gets through. It is called before
// Serve.
func (p *Proxy) SetGuard(g Guard) { p.guard = g }

// pass asks the guard. It is false if the request is answered.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, x *exchange, cut func(error)) bool {
	if x.route.policy == "" {
		return true
	}
	if x.route.decides == nil || p.guard == nil {
		p.refuse(w, r, x, refusePolicy)
		return false
	}
	x.visit = &Visit{
		Request: x.Request, ID: x.id, Service: x.route.service, Policy: x.route.decides, Client: x.session.client.Addr(), Look: x.route.look, Cut: cut, session: x.session,
	}
	x.pass = p.guard.Admit(w, r, x.visit)
	x.decided = time.Since(x.start)
	if x.pass == nil {
		x.failure = refuseAccess.Reason
		p.metrics.refused.WithLabelValues(refuseAccess.Reason).Inc()
		return false
	}
	return true
}
