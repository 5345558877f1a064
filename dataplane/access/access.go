// Package access decides on a node, alone, who may reach the services that have a policy.
//
// Rules and ways to authenticate are shared/policy's; here are the facts that it asks for, the credentials that a request
// itself carries, and how often somebody may guess. Cookies and pages are a Browser's.
package access

import (
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/shared/policy"
)

// Places says where addresses are, as far as it knows: "" and 0 for what it does not.
type Places interface {
	Locate(netip.Addr) (country string, asn uint32)
}

// Browser is what a person has to do with a policy. Its methods are called for requests of guarded routes.
type Browser interface {
	// Answer serves what the node itself has at a service's hostname, and reports whether the request was for that.
	Answer(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit) bool
	// Identify adds what cookies and tokens of the request prove.
	Identify(r *http.Request, v *httpproxy.Visit, id *policy.Identity)
	// Ask answers a request that is denied, or has to authenticate.
	Ask(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, id *policy.Identity, d policy.Decision)
	// Pass says what a request goes on with.
	Pass(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, id *policy.Identity, d policy.Decision) *httpproxy.Pass
}

// Options is what an Access is made of.
type Options struct {
	Places     Places  // nil: nobody knows
	Browser    Browser // nil: ways that need pages are closed
	Uses       Uses    // nil: share links with a limit are closed
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Access implements httpproxy.Guard, and decides about connections that are not HTTP. Safe for concurrent use.
type Access struct {
	places   Places
	browser  Browser
	uses     Uses
	log      *slog.Logger
	m        *metrics
	attempts *Attempts
	hashes   *hashes
}

// New makes an Access.
func New(o Options) *Access {
	if o.Places == nil {
		o.Places = nowhere{}
	}
	return &Access{places: o.Places, browser: o.Browser, uses: o.Uses, log: o.Log, m: newMetrics(o.Registerer), attempts: NewAttempts(), hashes: newHashes()}
}

// SetNodes says how many nodes share the limits of attempts.
func (a *Access) SetNodes(n int) { a.attempts.SetNodes(n) }

// SetBrowser says who has the pages. It is called before the first request.
func (a *Access) SetBrowser(b Browser) { a.browser = b }

// Admit implements httpproxy.Guard.
func (a *Access) Admit(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit) *httpproxy.Pass {
	if a.browser != nil && a.browser.Answer(w, r, v) {
		return nil
	}
	facts := a.Facts(r, v)
	var proofs [3]policy.Proof
	id := policy.Identity{Proofs: proofs[:0]}
	a.carried(r, v, &id, facts.Time)
	if a.browser != nil {
		a.browser.Identify(r, v, &id)
	}
	d := policy.Decide(v.Policy, &facts, &id)
	v.Decided, v.Decision = true, d
	if d.Action == policy.Authenticate && v.Policy.Ways().Has(policy.WayBasic) {
		proof, err := a.basic(r, v)
		if err != nil {
			a.refused(w, err)
			return nil
		}
		if proof != (policy.Proof{}) {
			id.Proofs = append(id.Proofs, proof)
			d = policy.Decide(v.Policy, &facts, &id)
		}
	}
	v.Decision = d
	a.m.decided(d)
	switch {
	case d.Action == policy.Allow && a.browser != nil:
		return a.browser.Pass(w, r, v, &id, d)
	case d.Action == policy.Allow:
		return &httpproxy.Pass{}
	case a.browser != nil:
		a.browser.Ask(w, r, v, &id, d)
	default:
		Refuse(w, v, d)
	}
	return nil
}

// Facts are what a policy asks of a request.
func (a *Access) Facts(r *http.Request, v *httpproxy.Visit) policy.Facts {
	f := a.facts(v.Policy, v.Client)
	f.Method, f.Path, f.Header = r.Method, v.Path, r.Header
	return f
}

func (a *Access) facts(p *policy.Compiled, client netip.Addr) policy.Facts {
	f := policy.Facts{Client: client, Time: time.Now()}
	if p.Places() {
		f.Country, f.ASN = a.places.Locate(client)
		if f.Country == "" && f.ASN == 0 {
			a.m.unplaced.Inc()
		}
	}
	return f
}

// Connection says who may open a connection that a policy decides about: of it nothing is known but where it comes from. A
// policy that is not known admits nobody.
func (a *Access) Connection(p *policy.Compiled) func(client netip.Addr) bool {
	named := a.Named(p)
	return func(client netip.Addr) bool { return named(client, nil) }
}

// Named says who may open a connection whose TLS has ended here.
func (a *Access) Named(p *policy.Compiled) func(client netip.Addr, shown []*x509.Certificate) bool {
	return func(client netip.Addr, shown []*x509.Certificate) bool {
		if p == nil {
			return false
		}
		f := a.facts(p, client)
		var id policy.Identity
		if len(shown) > 0 && p.Ways().Has(policy.WayCertificate) {
			if proof, err := p.Certificate(shown, f.Time); err == nil {
				id.Proofs = []policy.Proof{proof}
			}
		}
		d := policy.Decide(p, &f, &id)
		a.m.decided(d)
		return d.Action == policy.Allow
	}
}

// Refuse is the answer to a request that goes no further, for programs: it names what the policy takes in a header.
func Refuse(w http.ResponseWriter, v *httpproxy.Visit, d policy.Decision) {
	if d.Action == policy.Authenticate && v.Policy.Ways().Has(policy.WayBasic) {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+v.Host+`", charset="UTF-8"`)
		answer(w, http.StatusUnauthorized)
		return
	}
	answer(w, http.StatusForbidden)
}

func answer(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(http.StatusText(status) + "\n"))
}

// nowhere knows no address.
type nowhere struct{}

func (nowhere) Locate(netip.Addr) (string, uint32) { return "", 0 }
