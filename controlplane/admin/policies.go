package admin

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/policy"
)

// PolicySpec is what is written of a policy.
type PolicySpec struct {
	Rules     []PolicyRule `json:"rules,omitempty" maxItems:"1000" doc:"The first one that applies decides"`
	Otherwise string       `json:"otherwise,omitempty" enum:"allow,deny,authenticate" doc:"What becomes of requests that no rule applies to; deny if absent"`
	Auth      *PolicyAuth  `json:"auth,omitempty" doc:"What satisfies authenticate: any one of these suffices"`
}

// Policy is who may reach the services that name it.
type Policy struct {
	OrgMeta
	Rules     []PolicyRule `json:"rules,omitempty"`
	Otherwise string       `json:"otherwise" enum:"allow,deny,authenticate"`
	Auth      *PolicyAuth  `json:"auth,omitempty"`
	Services  []string     `json:"services,omitempty" readOnly:"true" doc:"Services that name it"`
	Broken    string       `json:"broken,omitempty" readOnly:"true" doc:"Why nodes can't have it: somebody wrote the row by hand"`
}

// PolicyConditions are about a request. A list holds if one of its entries does; one that is absent is no condition.
type PolicyConditions struct {
	Networks  []string       `json:"networks,omitempty" maxItems:"10000" example:"[\"192.0.2.0/24\"]" doc:"Networks or addresses of clients"`
	Paths     []string       `json:"paths,omitempty" maxItems:"10000" example:"[\"/admin/**\"]" doc:"* is any run of characters in a segment, a segment ** any number of segments; a slash at the end does not count"`
	Methods   []string       `json:"methods,omitempty" maxItems:"100" example:"[\"GET\",\"HEAD\"]"`
	Countries []string       `json:"countries,omitempty" maxItems:"300" example:"[\"CH\"]" doc:"ISO 3166-1 alpha-2. Where a node has no database of addresses, no country is known"`
	ASNs      []int64        `json:"asns,omitempty" maxItems:"10000" doc:"Autonomous systems"`
	Headers   []PolicyHeader `json:"headers,omitempty" maxItems:"100" doc:"Fields that the client sends: whoever can send one meets the condition"`
	Windows   []PolicyWindow `json:"windows,omitempty" maxItems:"100" doc:"Parts of the week"`
}

// PolicyRule applies to requests of which all its conditions hold, and none of unless.
type PolicyRule struct {
	Action string `json:"action" enum:"allow,deny,authenticate"`
	PolicyConditions
	Unless *PolicyConditions `json:"unless,omitempty" doc:"The rule does not apply if one of these holds. Where a place is not known, a rule that allows does not apply"`
}

// PolicyHeader is a condition on a header field.
type PolicyHeader struct {
	Name   string   `json:"name" maxLength:"128"`
	Values []string `json:"values,omitempty" maxItems:"1000" doc:"Whole values; that the field is there, if absent"`
}

// PolicyWindow is a part of the week.
type PolicyWindow struct {
	Days []string `json:"days,omitempty" maxItems:"7" example:"[\"mon\",\"fri\"]" doc:"On which it begins; every day if absent"`
	From string   `json:"from" example:"08:00"`
	To   string   `json:"to" example:"17:00" doc:"Exclusive; before from: of the next day"`
	Zone string   `json:"zone" example:"Europe/Zurich"`
}

func policyByRef(c *call, ref string) (*model.Policy, error) {
	if id, err := (model.PolicyID{}).Parse(ref); err == nil {
		p, err := c.tx.GetPolicy(c, id)
		if err == nil && p.Org != c.org {
			return nil, notHere("policy")
		}
		return p, err
	}
	return c.tx.GetPolicyByName(c, c.org, ref)
}

func policies(a *Admin) *Collection[model.Policy, PolicySpec, Policy] {
	return &Collection[model.Policy, PolicySpec, Policy]{
		a: a, kind: "policy", inOrg: true, read: access.PoliciesRead, write: access.PoliciesWrite,
		byRef:  policyByRef,
		list:   func(c *call, p store.Page) ([]*model.Policy, error) { return c.tx.ListPolicies(c, c.org, p) },
		after:  func(v *model.Policy) string { return v.Name },
		build:  buildPolicy,
		create: func(c *call, v *model.Policy) error { return c.tx.CreatePolicy(c, v) },
		update: func(c *call, v *model.Policy) (bool, error) { return c.tx.UpdatePolicy(c, v) },
		drop: func(c *call, v *model.Policy) error {
			used, err := c.tx.ListServicesOfPolicy(c, v.ID)
			if err != nil {
				return err
			}
			if len(used) > 0 {
				return fault.New(fault.Conflict, "policy %s is used by service %s: without it, that would be open to everybody", v.Name, used[0].Name)
			}
			return c.tx.DeletePolicy(c, v.ID)
		},
		view: viewPolicy,
	}
}

func buildPolicy(c *call, old *model.Policy, name string, s PolicySpec) (*model.Policy, error) {
	v := &model.Policy{ID: model.PolicyID{}.New(), Org: c.org, Name: name}
	if old != nil {
		if err := c.tx.LockPolicy(c, old.ID); err != nil { // services that come to name it wait, or are seen
			return nil, err
		}
		*v = *old
	}
	v.Broken, v.Rules = "", nil
	for i := range s.Rules {
		r, err := buildRule("rules["+itoa(i)+"]", &s.Rules[i])
		if err != nil {
			return nil, err
		}
		v.Rules = append(v.Rules, r)
	}
	var err error
	if v.Otherwise, err = buildAction("otherwise", s.Otherwise); err != nil {
		return nil, err
	}
	auth := s.Auth
	if auth == nil {
		auth = &PolicyAuth{}
	}
	if err := buildAuth(v, old, auth); err != nil {
		return nil, err
	}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	if old == nil {
		return v, nil
	}
	used, err := c.tx.ListServicesOfPolicy(c, v.ID)
	if err != nil {
		return nil, err
	}
	return v, model.CheckPolicyServices(v, used)
}

func buildAction(field, s string) (a policy.Action, err error) {
	if s == "" {
		return policy.Deny, nil
	}
	if err := a.UnmarshalText([]byte(s)); err != nil {
		return a, fault.Field(field, "%v", err)
	}
	return a, nil
}

func buildRule(field string, s *PolicyRule) (r policy.Rule, err error) {
	if s.Action == "" {
		return r, fault.Field(field+".action", "missing: want allow, deny or authenticate")
	}
	if r.Action, err = buildAction(field+".action", s.Action); err != nil {
		return r, err
	}
	if r.Conditions, err = buildConditions(field+".", &s.PolicyConditions); err != nil {
		return r, err
	}
	if s.Unless != nil {
		r.Unless, err = buildConditions(field+".unless.", s.Unless)
	}
	return r, err
}

// buildConditions brings networks into their one form; the rest has one already.
func buildConditions(field string, s *PolicyConditions) (policy.Conditions, error) {
	c := policy.Conditions{Paths: s.Paths, Methods: s.Methods, Countries: s.Countries}
	for i, text := range s.Networks {
		p, err := policy.ParseNetwork(text)
		if err != nil {
			return c, fault.Field(field+"networks["+itoa(i)+"]", "%v", err)
		}
		c.Networks = append(c.Networks, p.String())
	}
	for i, n := range s.ASNs {
		if n < 1 || n > 1<<32-1 {
			return c, fault.Field(field+"asns["+itoa(i)+"]", "%d, want 1 to 4294967295", n)
		}
		c.ASNs = append(c.ASNs, uint32(n))
	}
	for _, h := range s.Headers {
		c.Headers = append(c.Headers, policy.Header(h))
	}
	for _, w := range s.Windows {
		c.Windows = append(c.Windows, policy.Window(w))
	}
	return c, nil
}

func viewPolicy(c *call, v *model.Policy) (out Policy, err error) {
	if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
		return out, err
	}
	out.Otherwise, out.Broken = v.Otherwise.String(), v.Broken
	for i := range v.Rules {
		r := &v.Rules[i]
		shown := PolicyRule{Action: r.Action.String(), PolicyConditions: viewConditions(&r.Conditions)}
		if !r.Unless.IsZero() {
			u := viewConditions(&r.Unless)
			shown.Unless = &u
		}
		out.Rules = append(out.Rules, shown)
	}
	out.Auth = viewAuth(v)
	used, err := c.tx.ListServicesOfPolicy(c, v.ID)
	for _, s := range used {
		out.Services = append(out.Services, s.Name)
	}
	return out, err
}

func viewConditions(c *policy.Conditions) PolicyConditions {
	out := PolicyConditions{Networks: c.Networks, Paths: c.Paths, Methods: c.Methods, Countries: c.Countries}
	for _, n := range c.ASNs {
		out.ASNs = append(out.ASNs, int64(n))
	}
	for _, h := range c.Headers {
		out.Headers = append(out.Headers, PolicyHeader(h))
	}
	for _, w := range c.Windows {
		out.Windows = append(out.Windows, PolicyWindow(w))
	}
	return out
}
