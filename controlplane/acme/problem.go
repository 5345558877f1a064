package acme

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode"

	lego "github.com/go-acme/lego/v4/acme"
)

// Problem is what a CA says about a failure (RFC 8555 §6.7). Its texts are the CA's own words, bounded and
// without control characters, so that they may be stored, logged and shown. A reply that is no problem
// document, HTML of a proxy for instance, has no Type.
type Problem struct {
	Type        string // "urn:ietf:params:acme:error:…"
	Detail      string
	Status      int    // of HTTP; zero for a problem found in an order, authorization or challenge
	Identifier  string // the name that it is about, if the CA says so
	Subproblems []Problem
	RetryAfter  time.Time // from the reply's header, within the bound of its Kind; zero: none

	html     bool // the reply was some other document: not the CA's word
	otherKey bool // the CA knows the account, by another key than the one that has signed
}

// OtherKey reports whether a request was refused because its account's key has been changed meanwhile: with the new
// key it may be sent again at once.
func OtherKey(err error) bool {
	p, ok := errors.AsType[*Problem](err)
	return ok && p.otherKey
}

// Types of problems (RFC 8555 §6.7, RFC 9773 §7.4, draft-ietf-acme-profiles §6.4).
const (
	namespace               = "urn:ietf:params:acme:error:"
	accountDoesNotExist     = namespace + "accountDoesNotExist"
	alreadyReplaced         = namespace + "alreadyReplaced"
	alreadyRevoked          = namespace + "alreadyRevoked"
	badCSR                  = namespace + "badCSR"
	badNonce                = namespace + "badNonce"
	badPublicKey            = namespace + "badPublicKey"
	badRevocationReason     = namespace + "badRevocationReason"
	badSignatureAlgorithm   = namespace + "badSignatureAlgorithm"
	compound                = namespace + "compound"
	externalAccountRequired = namespace + "externalAccountRequired"
	invalidContact          = namespace + "invalidContact"
	invalidProfile          = namespace + "invalidProfile"
	malformed               = namespace + "malformed"
	orderNotReady           = namespace + "orderNotReady"
	rateLimited             = namespace + "rateLimited"
	rejectedIdentifier      = namespace + "rejectedIdentifier"
	serverInternal          = namespace + "serverInternal"
	unauthorized            = namespace + "unauthorized"
	unsupportedContact      = namespace + "unsupportedContact"
	unsupportedIdentifier   = namespace + "unsupportedIdentifier"
	userActionRequired      = namespace + "userActionRequired"
)

const (
	maxDetail      = 1000 // characters
	maxSubproblems = 100  // a certificate has no more names
)

func (p *Problem) Error() string {
	var b strings.Builder
	if p.Status != 0 {
		fmt.Fprintf(&b, "%d ", p.Status)
	}
	if p.Type != "" {
		b.WriteString(strings.TrimPrefix(p.Type, namespace) + ": ")
	}
	b.WriteString(p.Detail)
	if p.Identifier != "" {
		fmt.Fprintf(&b, " (%s)", p.Identifier)
	}
	for i, s := range p.Subproblems {
		if i == 5 {
			fmt.Fprintf(&b, "; and %d more", len(p.Subproblems)-i)
			break
		}
		b.WriteString("; " + s.Error())
	}
	return b.String()
}

// document is a problem document as CAs send it (RFC 7807).
type document struct {
	Type        string          `json:"type"`
	Detail      string          `json:"detail"`
	Title       string          `json:"title"`
	Identifier  lego.Identifier `json:"identifier"`
	Subproblems []document      `json:"subproblems"`
}

// parseProblem makes a Problem of any reply that is no success.
func parseProblem(r *reply) *Problem {
	p := &Problem{Status: r.status, RetryAfter: r.retryAfter}
	var d document
	if json.Unmarshal(r.body, &d) == nil && (d.Type != "" || d.Detail != "") {
		d.fill(p, 0)
	} else {
		p.fillFrom(r)
	}
	p.RetryAfter = r.within(p.most())
	return p
}

// fillFrom says what a reply is that is no problem document.
func (p *Problem) fillFrom(r *reply) {
	kind, _, _ := mime.ParseMediaType(r.header.Get("Content-Type"))
	p.Detail = http.StatusText(r.status)
	if len(r.body) > 0 {
		p.html = true
		p.Detail = clean(fmt.Sprintf("%s, with %s that is no problem document: %s", p.Detail, kind, r.body[:min(len(r.body), 4*maxDetail)]), maxDetail)
	}
}

func (d *document) fill(p *Problem, depth int) {
	p.Type, p.Detail, p.Identifier = clean(d.Type, 200), clean(d.Detail, maxDetail), clean(d.Identifier.Value, 255)
	if p.Type == "about:blank" {
		p.Type = ""
	}
	if p.Detail == "" {
		p.Detail = clean(d.Title, maxDetail)
	}
	if depth > 0 { // subproblems have none themselves (RFC 8555 §6.7.1)
		return
	}
	for i := range d.Subproblems[:min(len(d.Subproblems), maxSubproblems)] {
		var s Problem
		d.Subproblems[i].fill(&s, depth+1)
		p.Subproblems = append(p.Subproblems, s)
	}
}

// embedded makes a Problem of one in an order, authorization or challenge.
func embedded(d *lego.ProblemDetails) *Problem {
	if d == nil {
		return nil
	}
	own := document{Type: d.Type, Detail: d.Detail}
	for _, s := range d.SubProblems {
		own.Subproblems = append(own.Subproblems, document{Type: s.Type, Detail: s.Detail, Identifier: s.Identifier})
	}
	p := &Problem{}
	own.fill(p, 0)
	return p
}

// clean makes a stranger's text fit to be stored and shown: valid UTF-8, one line, no control characters
// that a terminal would obey, at most most runes.
func clean(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if n == most {
			b.WriteString("…")
			break
		}
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r):
			r = '\uFFFD'
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}
