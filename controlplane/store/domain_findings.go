package store

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// AllDomainFindings returns what was found of domains.
func (t *Tx) AllDomainFindings(ctx context.Context) (map[model.DomainID]*model.DomainFinding, error) {
	rows, err := t.q.AllDomainFindings(ctx)
	out := map[model.DomainID]*model.DomainFinding{}
	for _, r := range rows {
		f := domainFinding(r)
		out[f.Domain] = f
	}
	return out, classify(err, "list domain findings")
}

// GetDomainFinding returns what was found of a domain.
func (t *Tx) GetDomainFinding(ctx context.Context, id model.DomainID) (*model.DomainFinding, error) {
	r, err := t.q.GetDomainFinding(ctx, id.UUID)
	if err != nil {
		return nil, classify(err, "domain finding")
	}
	return domainFinding(r), nil
}

// ClaimDomainFinding reports whether the caller is the one to ask about a domain now: nobody else does until a moment.
func (t *Tx) ClaimDomainFinding(ctx context.Context, id model.DomainID, asked []string, now, until time.Time) (bool, error) {
	n, err := t.q.ClaimDomainFinding(ctx, db.ClaimDomainFindingParams{DomainID: id.UUID, Asked: notNil(asked), Now: now, Until: until})
	return n > 0, classify(err, "claim domain finding")
}

// SetDomainFinding writes what was found, of a domain that was claimed.
func (t *Tx) SetDomainFinding(ctx context.Context, f *model.DomainFinding) error {
	n, err := t.q.SetDomainFinding(ctx, db.SetDomainFindingParams{
		DomainID: f.Domain.UUID, Delegated: f.Delegated, Provable: notNil(f.Provable), Problem: f.Problem, FoundAt: nullTime(f.Found), NextCheck: f.NextCheck,
	})
	return affected(n, err, "update domain finding")
}

// RecheckDomains lets the domains that names are within be asked about at a moment, if that is sooner.
func (t *Tx) RecheckDomains(ctx context.Context, org model.OrgID, names []string, at time.Time) error {
	_, err := t.q.RecheckDomains(ctx, db.RecheckDomainsParams{OrgID: org.UUID, Names: notNil(names), At: at})
	return classify(err, "update domain findings")
}

func domainFinding(r db.DomainFinding) *model.DomainFinding {
	return &model.DomainFinding{
		Domain: model.DomainID{UUID: r.DomainID}, Delegated: r.Delegated, Asked: orNil(r.Asked), Provable: orNil(r.Provable), Problem: r.Problem,
		Found: timeOrZero(r.FoundAt), NextCheck: r.NextCheck,
	}
}
