package preflight

import (
	"context"
	"slices"

	"github.com/warrenedge/warren/controlplane/model"
)

// atOnce is how many names are asked about in one check, which has a bound on its questions.
const atOnce = 6

// Survey finds out how the names of a domain can be proved, whatever CAA says: whether its apex and wildcard can in the DNS, and
// if they can't, which of some hostnames can by themselves. What could not be found out is an error.
func (c *Checker) Survey(ctx context.Context, m *model.Model, d *model.Domain, hostnames []string) (delegated bool, provable []string, err error) {
	r, err := c.Check(ctx, For(m, d, []string{d.Name, "*." + d.Name}, nil))
	if err != nil {
		return false, nil, err
	}
	if delegated, err = r.delegatedOr(); err != nil || delegated {
		return delegated, nil, err
	}
	for names := range slices.Chunk(hostnames, atOnce) {
		if r, err = c.Check(ctx, For(m, d, names, nil)); err != nil {
			return false, nil, err
		}
		for _, n := range names {
			if len(r.Methods[n]) > 0 {
				provable = append(provable, n)
			}
		}
		if _, err := r.delegatedOr(); err != nil {
			return false, nil, err
		}
	}
	slices.Sort(provable)
	return false, provable, nil
}

// delegatedOr reports whether names that are refused are so for another reason than that nobody has delegated the domain to
// us. It is an error if there was no answer to go by.
func (r Report) delegatedOr() (bool, error) {
	delegated := true
	for _, p := range r.Problems {
		switch p.Code {
		case ParentSilent, AddressUnanswered, ChallengeSilent:
			return false, &unanswered{p.Message}
		case NotDelegated, WrongServers, PointsElsewhere, WildcardNeedsDNS:
			delegated = false
		}
	}
	return delegated, nil
}

// unanswered is that the DNS has said nothing.
type unanswered struct{ what string }

func (u *unanswered) Error() string { return u.what }
