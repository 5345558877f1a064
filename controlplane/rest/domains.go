package rest

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/preflight"
)

const (
	maxChecks = 4  // of domains at a time: each asks many servers
	maxNames  = 50 // of services in one check
)

// Preflight finds out what a certificate authority would refuse.
type Preflight interface {
	Check(ctx context.Context, q preflight.Question) (preflight.Report, error)
}

type domainCheckView struct {
	OK        bool                             `json:"ok" doc:"Whether a certificate authority may be asked: there are no problems"`
	Delegated bool                             `json:"delegated" doc:"Whether the zone above delegates the domain to our nodes, and all is well with that"`
	Problems  []domainProblemView              `json:"problems"`
	Warnings  []domainProblemView              `json:"warnings"`
	Methods   map[string][]model.ChallengeType `json:"methods" doc:"By name: the challenges that can succeed"`
	Aliases   map[string]string                `json:"aliases" doc:"By hostname: the name here where its challenge is answered, because _acme-challenge is an alias (CNAME)"`
	Records   []domainRecordView               `json:"records" doc:"What to type at the registrar to delegate the domain, and first, while it is unproven, to prove it"`
	CheckedAt time.Time                        `json:"checked_at"`
}

type domainProblemView struct {
	Code    string `json:"code" doc:"The same in every release"`
	Name    string `json:"name,omitempty" doc:"Hostname that it is about; absent: the domain"`
	Message string `json:"message" doc:"What is wrong, and what to type"`
}

type domainRecordView struct {
	Name  string `json:"name"`
	Type  string `json:"type" enum:"NS,A,AAAA,TXT"`
	Value string `json:"value"`
}

func (a *API) domainCheck() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/domains/{name}/check", "check-domain",
		"Ask the DNS, from the root down, whether a certificate authority would be content with a domain; takes up to ten seconds", "domains", access.DomainsRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[domainCheckView], error) {
			v, err := a.checkDomain(ctx, in.Org, in.Name)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[domainCheckView]{Status: http.StatusOK, Body: v}, nil
		})
}

func (a *API) checkDomain(ctx context.Context, org, name string) (v domainCheckView, err error) {
	seen, err := a.Admin.Domains.Get(ctx, caller(ctx), org, name) // whoever may not read it does not check it
	if err != nil {
		return v, err
	}
	id, err := model.DomainID{}.Parse(seen.ID)
	if err != nil {
		return v, err
	}
	m := a.World.Get()
	d := m.Domain(id)
	if d == nil || a.Preflight == nil {
		return v, errLoading
	}
	select {
	case a.checks <- struct{}{}:
		defer func() { <-a.checks }()
	case <-ctx.Done():
		return v, fault.New(fault.Unavailable, "too many checks of domains at once")
	}
	var issuers []preflight.Issuer
	for i := range m.Issuers() {
		if !i.Suspended {
			issuers = append(issuers, preflight.Issuer{Name: i.Name, Domains: i.CAADomains(), Account: i.AccountURL})
		}
	}
	r, err := a.Preflight.Check(ctx, preflight.For(m, d, checkedNames(m, d), issuers))
	if err != nil {
		return v, fault.New(fault.Unavailable, "the check was cut short: %v", err)
	}
	v = checkView(r)
	if p := seen.Proof; p != nil {
		v.OK = false
		v.Problems = slices.Insert(v.Problems, 0, domainProblemView{Code: "unproven", Message: unproved(p)})
		v.Records = slices.Insert(v.Records, 0, domainRecordView{p.Name, p.Type, p.Value})
	}
	return v, nil
}

// unproved says what is to be done about a claim.
func unproved(p *admin.DomainProof) string {
	text := "it is not proved to be this organization's: let " + p.Name + " have the TXT record " + strconv.Quote(p.Value) + ", before the domain is delegated to the nodes, or ask an administrator of the cluster"
	if p.Problem != "" {
		text += " (found last: " + p.Problem + ")"
	}
	return text
}

// checkedNames are the names that need certificates, or that of the domain while there is none.
func checkedNames(m *model.Model, d *model.Domain) []string {
	var names []string
	for s := range m.ServicesWithin(d.Name) {
		if s.EndsTLS() && s.Org == d.Org && m.DomainCovering(s.Hostname) == d && !slices.Contains(names, s.Hostname) {
			if names = append(names, s.Hostname); len(names) == maxNames {
				break
			}
		}
	}
	if len(names) == 0 {
		names = []string{d.Name}
	}
	return names
}

func checkView(r preflight.Report) domainCheckView {
	problems := func(list []preflight.Problem) []domainProblemView {
		out := []domainProblemView{}
		for _, p := range list {
			out = append(out, domainProblemView{string(p.Code), p.Name, p.Message})
		}
		return out
	}
	v := domainCheckView{
		OK: r.OK(), Delegated: r.Delegated, Problems: problems(r.Problems), Warnings: problems(r.Warnings), Methods: r.Methods, Aliases: r.Aliases,
		Records: []domainRecordView{}, CheckedAt: time.Now().UTC(),
	}
	for _, rec := range r.Records {
		v.Records = append(v.Records, domainRecordView(rec))
	}
	return v
}
