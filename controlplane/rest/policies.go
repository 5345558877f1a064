package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/explain"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/policy"
)

type LinkPath struct {
	Link string `path:"link" maxLength:"64" doc:"Id of the link"`
}

type TokenPath struct {
	Token string `path:"token" maxLength:"64" doc:"Name or id of the token"`
}

// policySecrets are made, shown once, and never again.
func (a *API) policySecrets() {
	const base = "/api/v1/orgs/{org}/policies/{name}/"
	huma.Register(a.huma, operation(http.MethodGet, base+"links", "list-share-links", "List the share links of a policy", "policies", access.PoliciesRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[page[admin.ShareLink]], error) {
			v, err := a.Admin.ShareLinks(ctx, caller(ctx), in.Org, in.Name)
			return listed(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, base+"links", "create-share-link", "Create a share link; it is shown once", "policies", access.PoliciesWrite, 201),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			Body admin.ShareLinkSpec
		}) (*answer[admin.ShareLink], error) {
			v, rev, err := a.Admin.CreateShareLink(ctx, caller(ctx), in.Org, in.Name, in.Body)
			return made(ctx, a, v, rev, err)
		})
	huma.Register(a.huma, operation(http.MethodDelete, base+"links/{link}", "revoke-share-link", "Revoke a share link, and what was opened with it", "policies", access.PoliciesWrite, 204),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			LinkPath
		}) (*done, error) {
			rev, err := a.Admin.RevokeShareLink(ctx, caller(ctx), in.Org, in.Name, in.Link)
			return revoked(ctx, a, rev, err)
		})
	huma.Register(a.huma, operation(http.MethodGet, base+"tokens", "list-service-tokens", "List the service tokens of a policy", "policies", access.PoliciesRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[page[admin.ServiceToken]], error) {
			v, err := a.Admin.ServiceTokens(ctx, caller(ctx), in.Org, in.Name)
			return listed(ctx, a, v, err)
		})
	huma.Register(a.huma, operation(http.MethodPost, base+"tokens", "create-service-token", "Create a service token; its secret is shown once", "policies", access.PoliciesWrite, 201),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			Body admin.ServiceTokenSpec
		}) (*answer[admin.ServiceToken], error) {
			v, rev, err := a.Admin.CreateServiceToken(ctx, caller(ctx), in.Org, in.Name, in.Body)
			return made(ctx, a, v, rev, err)
		})
	huma.Register(a.huma, operation(http.MethodDelete, base+"tokens/{token}", "revoke-service-token", "Revoke a service token", "policies", access.PoliciesWrite, 204),
		func(ctx context.Context, in *struct {
			OrgPath
			NamePath
			TokenPath
		}) (*done, error) {
			rev, err := a.Admin.RevokeServiceToken(ctx, caller(ctx), in.Org, in.Name, in.Token)
			return revoked(ctx, a, rev, err)
		})
}

// listed is all of a short list.
func listed[V any](ctx context.Context, a *API, items []V, err error) (*answer[page[V]], error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[page[V]]{Status: http.StatusOK, Body: page[V]{Items: items}}, nil
}

func made[V any](ctx context.Context, a *API, v V, rev model.Revision, err error) (*answer[V], error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[V]{Status: http.StatusCreated, Revision: revision(rev), Body: v}, nil
}

func revoked(ctx context.Context, a *API, rev model.Revision, err error) (*done, error) {
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	return &done{Revision: revision(rev)}, nil
}

// explained is what would become of a request.
type explained struct {
	Revision uint64            `json:"revision" doc:"Of the configuration that the answer is of"`
	Service  string            `json:"service"`
	Hostname string            `json:"hostname"`
	Kind     string            `json:"kind"`
	Pool     string            `json:"pool" doc:"Whose nodes serve it"`
	Path     string            `json:"path,omitempty" doc:"In the form in which policies and targets see it"`
	Refused  string            `json:"refused,omitempty" doc:"Why the request is answered with an error, whoever asks"`
	Policy   string            `json:"policy,omitempty" doc:"Absent: everybody may"`
	Decision string            `json:"decision,omitempty" enum:"allow,deny,authenticate"`
	Rule     *int              `json:"rule,omitempty" doc:"Index, from 0, of the rule that decided in the policy's list; absent if none applied"`
	Reason   string            `json:"reason,omitempty" doc:"In words, which count rules from 1"`
	Ways     []string          `json:"ways,omitempty" doc:"What would be enough to authenticate"`
	Prefix   string            `json:"path_prefix,omitempty" doc:"Of the targets"`
	Targets  []explainedTarget `json:"targets,omitempty" doc:"To one of which the request goes, if it is allowed"`
}

type explainedTarget struct {
	Name    string `json:"name"`
	Site    string `json:"site"`
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	Weight  uint16 `json:"weight"`
	Health  string `json:"health,omitempty"`
}

// explain says what would become of a request, without sending anything.
func (a *API) explain() {
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/explain", "explain", "What nodes would do with a request, and why; nothing is sent", "policies", access.PoliciesRead, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			explain.Query
		}) (*answer[explained], error) {
			org, err := a.Admin.OrganizationID(ctx, caller(ctx), in.Org)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			q, err := in.Question(time.Now())
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			m := a.World.Get()
			if q.User.ID != "" {
				q.User.Org = org.String() // whoever is asked about is taken for one of the organization
			}
			v, err := explain.Explain(m, org, q)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[explained]{Status: http.StatusOK, Body: a.explained(m, v)}, nil
		})
}

func (a *API) explained(m *model.Model, v *explain.Answer) explained {
	out := explained{
		Revision: uint64(m.Revision()), Service: v.Service.Name, Hostname: v.Service.Hostname, Kind: string(v.Service.Kind), Path: v.Path, Refused: v.Refused,
		Prefix: v.Prefix,
	}
	if p := m.Pool(v.Service.Pool); p != nil {
		out.Pool = p.Name
	}
	if v.Policy != nil {
		out.Policy = v.Policy.Name
	}
	if v.Policy == nil && v.Refused == "" {
		out.Decision, out.Reason = policy.Allow.String(), "the service has no policy"
	} else if v.Policy != nil && !strings.HasPrefix(v.Refused, "503: the policy") && !strings.HasPrefix(v.Refused, "400") {
		out.Decision, out.Reason = v.Decision.Action.String(), v.Decision.Why()
		if v.Decision.Rule != policy.NoRule {
			rule := v.Decision.Rule
			out.Rule = &rule
		}
	}
	if v.Ways != 0 {
		out.Ways = strings.Split(v.Ways.String(), ", ")
	}
	for _, t := range v.Targets {
		shown := explainedTarget{Name: t.Name, Address: t.Address, Port: t.Port, Weight: t.Weight}
		if s := m.Site(t.Site); s != nil {
			shown.Site = s.Name
		}
		if t.HealthCheck != nil && a.Presence != nil {
			shown.Health = a.Presence.Verdict(m, t).State.String()
		}
		out.Targets = append(out.Targets, shown)
	}
	return out
}
