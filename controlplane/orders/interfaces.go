package orders

import (
	"context"
	"crypto"
	"crypto/x509"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/model"
)

// CA is an account at an authority: acme.Client is one. Each method is one request with its answer.
type CA interface {
	Directory(ctx context.Context) (acme.Directory, error)
	Orders(ctx context.Context) ([]string, error)
	NewOrder(ctx context.Context, names []string, profile, replaces string) (*acme.Order, error)
	Order(ctx context.Context, url string) (*acme.Order, error)
	Authorization(ctx context.Context, url string) (*acme.Authorization, error)
	Initiate(ctx context.Context, challengeURL string) error
	Finalize(ctx context.Context, o *acme.Order, csrDER []byte) (*acme.Order, error)
	Certificate(ctx context.Context, url string) (chainPEM []byte, alternates []string, err error)
	RenewalInfo(ctx context.Context, leaf *x509.Certificate) (*acme.RenewalInfo, error)
	Rollover(ctx context.Context, newKey crypto.Signer) error
	Revoke(ctx context.Context, leafDER []byte, reason int) error
	RevokeWithKey(ctx context.Context, leafDER []byte, reason int, key crypto.Signer) error
}

// Gate knows when nodes answer challenges.
type Gate interface {
	// Ready returns nil once every node that the authority could ask answers the challenges, which were
	// written at a revision. Else it returns when ctx ends, and the error says who does not answer.
	Ready(ctx context.Context, rev model.Revision, all []*model.Challenge) error
}

// Preflight looks for what would make an authority refuse, before it is asked.
type Preflight interface {
	// Check returns for each hostname, without "*.", by which challenges it may be proved if an order of the
	// names may succeed, a *Refusal if it can't, any other error if that could not be found out.
	Check(ctx context.Context, names []string, issuer *model.Issuer) (Methods, error)
}

// Proof is how a hostname may be proved.
type Proof struct {
	Types []model.ChallengeType // none: by dns-01
	// At is the name whose dns-01 challenges are answered for the hostname, where _acme-challenge below that is an alias
	// (CNAME). "": there is no alias.
	At string
}

// Methods are how hostnames may be proved. One that is not in it is proved by dns-01 at its own name.
type Methods map[string]Proof

// Refusal is why an order would fail.
type Refusal struct {
	Reason string // for the owner of the domain
	CAA    bool   // this issuer may not issue; another one might
}

func (r *Refusal) Error() string { return r.Reason }

// Fleet knows what nodes have applied.
type Fleet interface {
	// Behind names the nodes that are there and have not applied a revision.
	Behind(rev model.Revision) []string
}
