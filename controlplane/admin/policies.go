package admin

import (
	"slices"
	"strings"

	"github.com/alexedwards/argon2id"

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

// PolicyAuth lists the ways in. Share links and service tokens are made by actions of their own.
type PolicyAuth struct {
	SignIn            *PolicySignIn      `json:"sign_in,omitempty" doc:"Members of the organization who sign in"`
	MailCode          []string           `json:"mail_code,omitempty" maxItems:"10000" example:"[\"*@example.org\"]" doc:"Addresses that may have a one-time code mailed; *@ is all of a domain"`
	PIN               *PolicyPIN         `json:"pin,omitempty"`
	Password          *PolicyPassword    `json:"password,omitempty"`
	Basic             []PolicyBasic      `json:"basic,omitempty" maxItems:"100" doc:"Users of HTTP's basic authentication"`
	ClientCertificate *PolicyCertificate `json:"client_certificate,omitempty"`
}

// PolicySignIn says which members.
type PolicySignIn struct {
	Members bool     `json:"members,omitempty" doc:"All of them"`
	Users   []string `json:"users,omitempty" maxItems:"10000" doc:"Ids or mail addresses"`
	Roles   []string `json:"roles,omitempty" maxItems:"1000" doc:"Names"`
	Groups  []string `json:"groups,omitempty" maxItems:"1000" doc:"Names"`
}

// PolicyPIN is a number that everybody knows who may come.
type PolicyPIN struct {
	Code string `json:"code,omitempty" writeOnly:"true" maxLength:"12" doc:"6 to 12 digits; never shown. Of a policy that has one, it stays if this is absent"`
}

// PolicyPassword is a password that everybody knows who may come.
type PolicyPassword struct {
	Secret string `json:"secret,omitempty" writeOnly:"true" maxLength:"256" doc:"8 characters at least; never shown. Of a policy that has one, it stays if this is absent"`
}

// PolicyBasic is a user of basic authentication.
type PolicyBasic struct {
	User     string `json:"user" maxLength:"128"`
	Password string `json:"password,omitempty" writeOnly:"true" maxLength:"256" doc:"8 characters at least; never shown. Of a user that is there, it stays if this is absent"`
}

// PolicyCertificate admits clients by certificate.
type PolicyCertificate struct {
	AuthoritiesPEM string   `json:"authorities_pem" maxLength:"262144" doc:"Certificates of the authorities, in PEM"`
	Names          []string `json:"names,omitempty" maxItems:"1000" doc:"DNS names (\"*.\" as first), mail addresses (\"*@\"), URIs (\"*\" as last) of which a certificate has to have one; any certificate if absent"`
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

// hashing bounds what hashes may take of a replica's memory at once, 19 MiB each.
var hashing = make(chan struct{}, 2)

var hashParams = &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// hashed is the hash of a secret that was written, or the one that is kept.
func hashed(field, secret string, check func(string) error, kept string) (string, error) {
	if secret == "" {
		if kept == "" {
			return "", fault.Field(field, "missing")
		}
		return kept, nil
	}
	if err := check(secret); err != nil {
		return "", fault.Field(field, "%v", err)
	}
	if kept != "" { // what is written again is no change: who has come by it stays
		hashing <- struct{}{}
		same, err := argon2id.ComparePasswordAndHash(secret, kept)
		<-hashing
		if err == nil && same {
			return kept, nil
		}
	}
	hashing <- struct{}{}
	defer func() { <-hashing }()
	h, err := argon2id.CreateHash(secret, hashParams)
	if err != nil {
		return "", &fault.Error{Kind: fault.Internal, Field: field, Msg: "hash", Err: err}
	}
	return h, nil
}

func checkPIN(s string) error {
	if len(s) < 6 || len(s) > 12 || strings.Trim(s, "0123456789") != "" {
		return fault.New(fault.Invalid, "want 6 to 12 digits")
	}
	return nil
}

func checkSecret(s string) error {
	if len(s) < 8 || len(s) > 256 {
		return fault.New(fault.Invalid, "want 8 to 256 characters")
	}
	return nil
}

func buildAuth(v, old *model.Policy, s *PolicyAuth) (err error) {
	var kept model.Policy
	if old != nil {
		kept = *old
	}
	v.SignIn, v.Mail, v.PINHash, v.PasswordHash, v.Basic, v.ClientCertificate = policy.SignIn{}, s.MailCode, "", "", nil, policy.ClientCertificate{}
	if in := s.SignIn; in != nil {
		v.SignIn = policy.SignIn(*in)
		if v.SignIn.IsZero() {
			return fault.Field("auth.sign_in", "admits nobody: want members, users, roles or groups")
		}
	}
	if s.PIN != nil {
		if v.PINHash, err = hashed("auth.pin.code", s.PIN.Code, checkPIN, kept.PINHash); err != nil {
			return err
		}
	}
	if s.Password != nil {
		if v.PasswordHash, err = hashed("auth.password.secret", s.Password.Secret, checkSecret, kept.PasswordHash); err != nil {
			return err
		}
	}
	for i, b := range s.Basic {
		had := ""
		if at := slices.IndexFunc(kept.Basic, func(o policy.Basic) bool { return o.User == b.User }); at >= 0 {
			had = kept.Basic[at].PasswordHash
		}
		h, err := hashed("auth.basic["+itoa(i)+"].password", b.Password, checkSecret, had)
		if err != nil {
			return err
		}
		v.Basic = append(v.Basic, policy.Basic{User: b.User, PasswordHash: h})
	}
	if c := s.ClientCertificate; c != nil {
		v.ClientCertificate = policy.ClientCertificate(*c)
	}
	return nil
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

// viewAuth shows which ways there are, without what opens them; nil if there are none.
func viewAuth(v *model.Policy) *PolicyAuth {
	a := &PolicyAuth{MailCode: v.Mail}
	some := len(v.Mail) > 0
	if !v.SignIn.IsZero() {
		in := PolicySignIn(v.SignIn)
		a.SignIn, some = &in, true
	}
	if v.PINHash != "" {
		a.PIN, some = &PolicyPIN{}, true
	}
	if v.PasswordHash != "" {
		a.Password, some = &PolicyPassword{}, true
	}
	for _, b := range v.Basic {
		a.Basic, some = append(a.Basic, PolicyBasic{User: b.User}), true
	}
	if c := v.ClientCertificate; c.AuthoritiesPEM != "" {
		cc := PolicyCertificate(c)
		a.ClientCertificate, some = &cc, true
	}
	if !some {
		return nil
	}
	return a
}
