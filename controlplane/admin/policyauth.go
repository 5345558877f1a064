package admin

import (
	"slices"
	"strings"

	"github.com/alexedwards/argon2id"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/policy"
)

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
