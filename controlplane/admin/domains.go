package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

// DomainSpec is what is written of a domain.
type DomainSpec struct {
	Pool       string `json:"pool" minLength:"1" doc:"Pool whose nodes answer for the domain, by name or id"`
	CAAAccount bool   `json:"caa_account,omitempty" doc:"Whether the domain's CAA records name the cluster's accounts at the issuers, and the methods that it proves names by (RFC 8657): no other account there gets a certificate. Of an issuer that has no account yet, any may"`
}

// Domain is a DNS zone that is delegated to the nodes of a pool; its name is the apex.
type Domain struct {
	OrgMeta
	Pool       string       `json:"pool"`
	CAAAccount bool         `json:"caa_account,omitempty"`
	Unproven   bool         `json:"unproven,omitempty" readOnly:"true" doc:"It is not known to be the organization's: no node answers for it, and no service can stand in it"`
	Proof      *DomainProof `json:"proof,omitempty" readOnly:"true" doc:"While it is unproven: what proves it"`
	Problem    string       `json:"problem,omitempty" readOnly:"true" doc:"Why a certificate of names in it could not be had last, in the words of what was found before the order, or of the authority; managed certificates say when it is tried again"`
}

// DomainProof is the record that shows whose a domain is, and what was found instead.
type DomainProof struct {
	Name      string     `json:"name" doc:"Of the record; the same record before a name above the domain, up to the registered one, does as well"`
	Type      string     `json:"type" enum:"TXT"`
	Value     string     `json:"value"`
	Problem   string     `json:"problem,omitempty" doc:"What is missing; absent: nobody has asked the DNS yet"`
	NextCheck *time.Time `json:"next_check,omitempty" doc:"When the DNS is asked again"`
}

func domains(a *Admin) *Collection[model.Domain, DomainSpec, Domain] {
	return &Collection[model.Domain, DomainSpec, Domain]{
		a: a, kind: "domain", inOrg: true, read: access.DomainsRead, write: access.DomainsWrite,
		byRef: domainByRef,
		list:  func(c *call, p store.Page) ([]*model.Domain, error) { return c.tx.ListDomains(c, c.org, p) },
		after: func(v *model.Domain) string { return v.Name },
		build: buildDomain,
		create: func(c *call, v *model.Domain) error {
			if err := c.tx.CreateDomain(c, v); err != nil {
				return err
			}
			return c.tx.ResetLadder(c, v.Org, v.Name, time.Now()) // what failed for want of the domain is tried at once
		},
		update: func(c *call, v *model.Domain) (bool, error) {
			changed, err := c.tx.UpdateDomain(c, v)
			if err != nil || !changed {
				return changed, err
			}
			return true, c.tx.ResetLadder(c, v.Org, v.Name, time.Now())
		},
		drop: func(c *call, v *model.Domain) error {
			if err := c.tx.LockDomain(c, v.ID); err != nil {
				return err
			}
			overlapping, services, err := c.around(v.Name)
			if err != nil {
				return err
			}
			if err := model.CheckDomainRemoval(v, overlapping, services); err != nil {
				return err
			}
			return c.tx.DeleteDomain(c, v.ID)
		},
		view: func(c *call, v *model.Domain) (out Domain, err error) {
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
				return out, err
			}
			if out.Unproven = v.Unproven; v.Unproven {
				if out.Proof, err = c.proofOf(v); err != nil {
					return out, err
				}
			}
			if out.Problem, err = c.refusalOf(v); err != nil {
				return out, err
			}
			out.CAAAccount = v.CAAAccount
			out.Pool, err = c.poolName(v.Pool)
			return out, err
		},
	}
}

// refusalOf says why a certificate of names in a domain could not be had last; "": none failed.
func (c *call) refusalOf(v *model.Domain) (string, error) {
	const most = 100
	all, err := c.tx.ListManagedProblems(c, v.Org, v.Name, most)
	if err != nil || len(all) == 0 {
		return "", err
	}
	text := strings.Join(all[0].Names, ", ") + ": " + all[0].LastProblem
	if len(all) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(all)-1)
	}
	return text, nil
}

func domainByRef(c *call, ref string) (*model.Domain, error) {
	if id, err := (model.DomainID{}).Parse(ref); err == nil {
		v, err := c.tx.GetDomain(c, id)
		if err == nil && v.Org != c.org {
			return nil, notHere("domain")
		}
		return v, err
	}
	name, err := hostname.Canonical(ref)
	if err != nil {
		return nil, notHere("domain")
	}
	return c.tx.GetDomainByName(c, c.org, name)
}

// around is what a rule about an apex needs to see.
func (c *call) around(apex string) ([]*model.Domain, []*model.Service, error) {
	overlapping, err := c.tx.ListDomainsOverlapping(c, apex)
	if err != nil {
		return nil, nil, err
	}
	services, err := c.tx.ListServicesWithin(c, apex)
	return overlapping, services, err
}

func buildDomain(c *call, old *model.Domain, name string, s DomainSpec) (*model.Domain, error) {
	v := &model.Domain{ID: model.DomainID{}.New(), Org: c.org}
	if old != nil {
		*v = *old
		name = old.Name // it may have been found by its id
	}
	apex, err := hostname.Canonical(name)
	if err != nil {
		return nil, fault.Field("name", "%v", err)
	}
	p, err := c.pool("pool", s.Pool)
	if err != nil {
		return nil, err
	}
	v.Name, v.Pool, v.CAAAccount = apex, p.ID, s.CAAAccount
	if err := v.Validate(); err != nil {
		return nil, err
	}
	if old != nil {
		if err := c.tx.LockDomain(c, v.ID); err != nil {
			return nil, err
		}
	} else if err := c.unreserved("name", apex); err != nil {
		return nil, err
	}
	overlapping, services, err := c.around(apex)
	if err != nil {
		return nil, err
	}
	if old == nil {
		if v.Unproven, err = c.toProve(v, overlapping); err != nil {
			return nil, err
		}
	}
	return v, model.CheckDomain(v, overlapping, services)
}

// covering is the domain with the longest apex that a hostname stands in, be it one that the organization has claimed; nil if
// there is none.
func (c *call) covering(host string) (*model.Domain, error) {
	name := host
	if hostname.IsWildcard(host) {
		name = host[2:]
	}
	// Read, held, then read again: what was deleted or came closer in between is seen.
	for held := (model.DomainID{}); ; {
		ds, err := c.tx.ListDomainsCovering(c, name)
		ds = slices.DeleteFunc(ds, func(d *model.Domain) bool { return d.Unproven && d.Org != c.org })
		if err != nil || len(ds) == 0 {
			return nil, err
		}
		if ds[0].ID == held {
			return ds[0], nil
		}
		held = ds[0].ID
		if err := c.tx.ShareDomain(c, held); err != nil {
			return nil, err
		}
	}
}
