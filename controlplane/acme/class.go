package acme

import (
	"errors"
	"time"
)

// Kind is what a workflow does about an error.
type Kind int

// Kinds of errors.
const (
	// None is no error.
	None Kind = iota
	// Retry: nobody refused anything. The network, a deadline, 5xx, badNonce over and over (RFC 8555 §6.5),
	// serverInternal, a reply that can't be read. Try the same again after a short back-off. The CA may have
	// done the work: before another order, look whether there is one (Client.Orders).
	Retry
	// RateLimited: RFC 8555 §6.6, or 503 with a time. Not before RetryAfter, at most a week, for any request of the kind.
	RateLimited
	// Refused: validation failed or the CA may not issue (unauthorized, dns, caa, connection, tls,
	// incorrectResponse, … §6.7): a matter of the domain's owner. The order is dead; another one after a long
	// back-off, or when the owner's DNS has changed. Types that are not known count as this.
	Refused
	// Terminal: the same request can't succeed (rejectedIdentifier, unsupportedIdentifier, malformed, badCSR,
	// badPublicKey, invalidProfile, … §6.7): until somebody changes what is asked for.
	Terminal
	// AlreadyReplaced: order again without replaces (RFC 9773 §5).
	AlreadyReplaced
	// OrderNotReady: finalize came before the order was ready or after it was finalized (RFC 8555 §7.4). Read
	// the order; its status says which.
	OrderNotReady
	// Gone: the CA knows no such order, authorization or certificate URL. Begin anew.
	Gone
	// AccountUnusable: the account does not exist, has another key by now, or needs an operator
	// (accountDoesNotExist, externalAccountRequired, userActionRequired §7.3.3). Nothing is wrong with the
	// order.
	AccountUnusable
)

func (k Kind) String() string {
	return [...]string{"none", "retry", "rate limited", "refused", "terminal", "already replaced", "order not ready", "gone", "account unusable"}[k]
}

// RetryAfter returns the time that the CA named with an error, of whatever kind; zero if it named none.
func RetryAfter(err error) time.Time {
	if n, ok := errors.AsType[*NoRenewalInfo](err); ok {
		return n.RetryAfter
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.RetryAfter
	}
	return time.Time{}
}

// Class says what to do about an error of this package, or about a Problem in an order or authorization.
// Errors of a context that has ended are Retry: ask the context first.
func Class(err error) Kind {
	if err == nil {
		return None
	}
	p, ok := errors.AsType[*Problem](err)
	if !ok || p == nil {
		return Retry
	}
	return p.kind()
}

var kinds = map[string]Kind{
	accountDoesNotExist:     AccountUnusable,
	externalAccountRequired: AccountUnusable,
	userActionRequired:      AccountUnusable,
	alreadyReplaced:         AlreadyReplaced,
	orderNotReady:           OrderNotReady,
	badNonce:                Retry,
	serverInternal:          Retry,
	rateLimited:             RateLimited,
	alreadyRevoked:          Terminal,
	badCSR:                  Terminal,
	badPublicKey:            Terminal,
	badRevocationReason:     Terminal,
	badSignatureAlgorithm:   Terminal,
	invalidContact:          Terminal,
	invalidProfile:          Terminal,
	malformed:               Terminal,
	rejectedIdentifier:      Terminal,
	unsupportedContact:      Terminal,
	unsupportedIdentifier:   Terminal,
}

func (p *Problem) kind() Kind {
	switch {
	case p.Status == 429, p.Status == 503 && !p.RetryAfter.IsZero():
		return RateLimited
	case p.Status == 404 && !p.html:
		return Gone
	case p.Status >= 500, p.Type == "": // a proxy's words, or none: not the CA's refusal
		return Retry
	case p.Type == compound:
		return p.worst()
	}
	if k, ok := kinds[p.Type]; ok {
		return k
	}
	return Refused
}

// worst is what keeps a compound from succeeding longest (RFC 8555 §6.7.1).
func (p *Problem) worst() Kind {
	found := map[Kind]bool{}
	for i := range p.Subproblems {
		if p.Subproblems[i].Type != compound {
			found[p.Subproblems[i].kind()] = true
		}
	}
	for _, k := range []Kind{Terminal, RateLimited, Refused, Retry} {
		if found[k] {
			return k
		}
	}
	return Refused
}
