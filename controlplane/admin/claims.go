package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/hostname"
)

// vouched reports whether somebody answers for what the call writes of its organization: an administrator of the cluster makes
// the call, or trusts the organization.
func (c *call) vouched() (bool, error) {
	if c.p.Can(access.DomainsWrite, model.OrgID{}) {
		return true, nil
	}
	o, err := c.tx.GetOrganization(c, c.org)
	return err == nil && o.Trusted, err
}

// toProve reports whether a new domain has to be proved to be its organization's. What is below a domain of its own is.
func (c *call) toProve(v *model.Domain, overlapping []*model.Domain) (bool, error) {
	if slices.ContainsFunc(overlapping, func(o *model.Domain) bool { return o.Org == v.Org && !o.Unproven && hostname.Within(v.Name, o.Name) }) {
		return false, nil
	}
	ok, err := c.vouched()
	return !ok, err
}

// unreserved refuses a name at, above or below one where the cluster itself is reached: there a tenant could take passwords and
// sessions from people who sign in, and tunnels from connectors. Who answers for the cluster may do so.
func (c *call) unreserved(field, name string) error {
	if name == "" {
		return nil
	}
	if ok, err := c.vouched(); ok || err != nil {
		return err
	}
	hosts, err := c.tx.ClusterHosts(c)
	if err != nil {
		return err
	}
	base := strings.TrimPrefix(name, "*.")
	for _, h := range hosts {
		if hostname.Within(base, h) || hostname.Within(h, base) {
			return fault.Field(field, "%s is reserved: it is at, above or below a name of the cluster itself", name)
		}
	}
	return nil
}

// proofOf says how a claimed domain is proved, and what was found so far.
func (c *call) proofOf(v *model.Domain) (*DomainProof, error) {
	out := &DomainProof{Name: model.ProofLabel + "." + v.Name, Type: "TXT", Value: model.ProofValue(v.Org)}
	f, err := c.tx.GetDomainFinding(c, v.ID)
	if fault.Of(err) == fault.NotFound {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out.Problem, out.NextCheck = f.Problem, when(f.NextCheck)
	return out, nil
}

// ProveDomain makes a claimed domain the organization's, if somebody answers for that; else the DNS is asked about it soon.
func (a *Admin) ProveDomain(ctx context.Context, p access.Principal, org, ref string) (Domain, model.Revision, error) {
	return a.Domains.change(ctx, p, org, ref, "prove", access.DomainsWrite, func(c *call, v *model.Domain) error {
		if !v.Unproven {
			return nil
		}
		ok, err := c.vouched()
		if err != nil {
			return err
		}
		if !ok {
			return c.tx.RecheckDomains(c, v.Org, []string{v.Name}, time.Now())
		}
		v.Unproven = false
		return c.tx.ProveDomain(c, v.ID, time.Now())
	})
}
