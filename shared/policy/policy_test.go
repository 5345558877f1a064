package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func must(t testing.TB, p *Policy) *Compiled {
	t.Helper()
	c, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rules reads rules as people write them.
func rules(t testing.TB, text string) []Rule {
	t.Helper()
	var out []Rule
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

const hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA"

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) // a Thursday

func request(client, method, path string) Facts {
	return Facts{Client: netip.MustParseAddr(client), Time: noon, Method: method, Path: path}
}

func TestDecide(t *testing.T) {
	c := must(t, &Policy{
		Rules: rules(t, `[
			{"action": "deny", "networks": ["203.0.113.0/24", "2001:db8:bad::/48"]},
			{"action": "allow", "paths": ["/public/**"], "methods": ["GET", "HEAD"]},
			{"action": "deny", "unless": {"countries": ["CH", "LI"], "networks": ["10.0.0.0/8"]}},
			{"action": "allow", "headers": [{"name": "x-probe", "values": ["up?"]}], "asns": [64500]},
			{"action": "allow", "windows": [{"days": ["sat"], "from": "22:00", "to": "02:00", "zone": "Europe/Zurich"}]},
			{"action": "authenticate", "paths": ["/app/**"]}
		]`),
		Auth: Auth{PINHash: hash},
	})
	at := func(f Facts, country string) Facts { f.Country = country; return f }
	probe := at(request("198.51.100.1", "GET", "/x"), "CH")
	probe.Header, probe.ASN = map[string][]string{"X-Probe": {"down?", "up?"}}, 64500
	other := probe
	other.ASN = 64501
	night := at(request("198.51.100.1", "GET", "/x"), "CH")
	night.Time = time.Date(2026, 11, 29, 0, 59, 0, 0, time.UTC) // Sunday, 01:59 there
	late := night
	late.Time = late.Time.Add(time.Minute)
	for name, c2 := range map[string]struct {
		f    Facts
		want Decision
	}{
		"denied network":        {at(request("203.0.113.7", "GET", "/public/x"), "CH"), Decision{Deny, 0, ByRule, 0}},
		"denied IPv6 network":   {at(request("2001:db8:bad::1", "GET", "/public/x"), "CH"), Decision{Deny, 0, ByRule, 0}},
		"public":                {request("198.51.100.1", "GET", "/public/x"), Decision{Allow, 1, ByRule, 0}},
		"public, other method":  {request("198.51.100.1", "POST", "/public/x"), Decision{Deny, 2, ByRule, 0}},
		"country":               {at(request("198.51.100.1", "GET", "/app/x"), "LI"), Decision{Authenticate, 5, NotAuthenticated, 0}},
		"another country":       {at(request("198.51.100.1", "GET", "/app/x"), "DE"), Decision{Deny, 2, ByRule, 0}},
		"another, but inside":   {at(request("10.1.2.3", "GET", "/app/x"), "DE"), Decision{Authenticate, 5, NotAuthenticated, 0}},
		"header and operator":   {probe, Decision{Allow, 3, ByRule, 0}},
		"header alone":          {other, Decision{Deny, NoRule, ByRule, 0}},
		"Saturday night":        {night, Decision{Allow, 4, ByRule, 0}},
		"Saturday night, later": {late, Decision{Deny, NoRule, ByRule, 0}},
		"nothing applies":       {at(request("198.51.100.1", "GET", "/x"), "CH"), Decision{Deny, NoRule, ByRule, 0}},
	} {
		if got := Decide(c, &c2.f, &Identity{}); got != c2.want {
			t.Errorf("%s: %v, want %v", name, got, c2.want)
		}
	}
}

// What is not known about a place lets nobody in.
func TestUnknownPlaces(t *testing.T) {
	for _, c := range []struct {
		rule string
		want Action // otherwise deny, or allow where the rule denies
		open Action
	}{
		{`{"action": "allow", "countries": ["CH"]}`, Deny, Deny},
		{`{"action": "allow", "unless": {"countries": ["RU"]}}`, Deny, Deny},
		{`{"action": "allow", "unless": {"asns": [1]}}`, Deny, Deny},
		{`{"action": "deny", "unless": {"countries": ["CH"]}}`, Deny, Allow},
		{`{"action": "authenticate", "unless": {"countries": ["CH"]}}`, Authenticate, Allow},
		{`{"action": "deny", "countries": ["RU"]}`, Allow, Allow}, // meets no condition: documented
	} {
		open := Deny
		if c.open == Allow {
			open = Allow
		}
		p := must(t, &Policy{Rules: rules(t, "["+c.rule+"]"), Otherwise: open, Auth: Auth{PINHash: hash}})
		f := request("198.51.100.1", "GET", "/")
		if got := Decide(p, &f, &Identity{}); got.Action != c.want {
			t.Errorf("%s: %v, want %s", c.rule, got, c.want)
		}
		if !p.Places() {
			t.Errorf("%s: does not ask for places", c.rule)
		}
	}
}

// T12: one client has one address, however it is written.
func TestT12SpellingsOfAddresses(t *testing.T) {
	allow := must(t, &Policy{Rules: rules(t, `[{"action": "allow", "networks": ["192.0.2.0/24", "fe80::/10"]}]`)})
	many := must(t, &Policy{Rules: []Rule{{Action: Allow, Conditions: Conditions{Networks: append(hundred(), "192.0.2.0/24", "fe80::/10")}}}})
	for _, p := range []*Compiled{allow, many} {
		for text, want := range map[string]Action{
			"192.0.2.1": Allow, "::ffff:192.0.2.1": Allow, "::ffff:192.0.2.1%eth0": Allow, "fe80::1%eth0": Allow, "fe80::1": Allow,
			"192.0.3.1": Deny, "::192.0.2.1": Deny, "64:ff9b::192.0.2.1": Deny, "2001:db8::ffff:192.0.2.1": Deny,
		} {
			f := Facts{Client: netip.MustParseAddr(text), Time: noon}
			if got := Decide(p, &f, &Identity{}); got.Action != want {
				t.Errorf("%s: %v, want %s", text, got, want)
			}
		}
		if got := Decide(p, &Facts{Time: noon}, &Identity{}); got.Action != Deny {
			t.Errorf("no address: %v", got)
		}
	}
	for _, s := range []string{"::ffff:192.0.2.0/120", "::ffff:0:0/96", "fe80::1%eth0", "fe80::%eth0/64", "192.0.2.1/24", "192.0.2.0/33", "192.0.2", "010.0.0.0/8", ""} {
		if _, err := ParseNetwork(s); err == nil {
			t.Errorf("%q is a network", s)
		}
	}
}

func hundred() (out []string) {
	for i := range 100 {
		out = append(out, fmt.Sprintf("10.%d.0.0/16", i))
	}
	return out
}

// T6: no spelling that a server may read as a denied path gets past the rule.
func TestT6Parameters(t *testing.T) {
	c := must(t, &Policy{Rules: rules(t, `[{"action": "deny", "paths": ["/admin/**"]}, {"action": "authenticate", "paths": ["/app/**"]}]`), Otherwise: Allow, Auth: Auth{PINHash: hash}})
	for path, want := range map[string]Action{
		"/admin": Deny, "/admin/": Deny, "/%61dmin": Deny, "/admin;x": Deny, "/admin;x/y": Deny, "/admin%3Bx/y": Deny, "/admin/y;z": Deny, "/adm;/in": Allow,
		"/app;v=1/x": Authenticate, "/app/x;/..": Authenticate, "/x;/app": Allow, "/;/admin": Allow,
	} {
		f := request("192.0.2.1", "GET", path)
		if got := Decide(c, &f, &Identity{}); got.Action != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
	// Nor does one that only some read as an allowed path.
	open := must(t, &Policy{Rules: rules(t, `[{"action": "allow", "paths": ["/public", "/open/*/x"]}]`)})
	for path, want := range map[string]Action{"/public": Allow, "/public;/../admin": Deny, "/public;a": Deny, "/open/a;b/x": Allow} {
		f := request("192.0.2.1", "GET", path)
		if got := Decide(open, &f, &Identity{}); got.Action != want {
			t.Errorf("%s: %v, want %s", path, got, want)
		}
	}
}

func TestIdentity(t *testing.T) {
	token := HashSecret("token")
	c := must(t, &Policy{
		Org: "org_a", Otherwise: Authenticate,
		Auth: Auth{
			SignIn:        SignIn{Users: []string{"user_1", "Bob@Example.org"}, Groups: []string{"ops"}, Roles: []string{"owner"}},
			Mail:          []string{"eve@example.com", "*@Example.net"},
			PINHash:       hash,
			ShareLinks:    []Secret{{ID: "link_1", SHA256: HashSecret("link"), Expires: noon.Add(time.Hour)}},
			ServiceTokens: []Secret{{ID: "token_1", SHA256: token}},
		},
	})
	pin := c.Known(WayPIN, "").Proof()
	link := c.ShareLink("link", noon).Proof()
	user := func(id, org string) Identity { return Identity{User: User{ID: id, Org: org}} }
	with := func(u Identity, f func(*User)) Identity { f(&u.User); return u }
	for name, c2 := range map[string]struct {
		id   Identity
		want Decision
	}{
		"nobody":               {Identity{}, Decision{Authenticate, NoRule, NotAuthenticated, 0}},
		"user":                 {user("user_1", "org_a"), Decision{Allow, NoRule, Proven, WaySignIn}},
		"another organization": {user("user_1", "org_b"), Decision{Authenticate, NoRule, NotPermitted, 0}},
		"no organization":      {user("user_1", ""), Decision{Authenticate, NoRule, NotPermitted, 0}},
		"by address":           {with(user("user_2", "org_a"), func(u *User) { u.Email = "bob@example.org" }), Decision{Allow, NoRule, Proven, WaySignIn}},
		"by group":             {with(user("user_2", "org_a"), func(u *User) { u.Groups = []string{"x", "ops"} }), Decision{Allow, NoRule, Proven, WaySignIn}},
		"a role is no group":   {with(user("user_2", "org_a"), func(u *User) { u.Roles = []string{"ops"} }), Decision{Authenticate, NoRule, NotPermitted, 0}},
		"by role":              {with(user("user_2", "org_a"), func(u *User) { u.Roles = []string{"owner"} }), Decision{Allow, NoRule, Proven, WaySignIn}},
		"mail":                 {Identity{Mail: "eve@example.com"}, Decision{Allow, NoRule, Proven, WayMail}},
		"mail of the domain":   {Identity{Mail: "x@example.net"}, Decision{Allow, NoRule, Proven, WayMail}},
		"mail below it":        {Identity{Mail: "x@a.example.net"}, Decision{Authenticate, NoRule, NotPermitted, 0}},
		"mail without a name":  {Identity{Mail: "@example.net"}, Decision{Authenticate, NoRule, NotPermitted, 0}},
		"PIN":                  {Identity{Proofs: []Proof{pin}}, Decision{Allow, NoRule, Proven, WayPIN}},
		"PIN of before":        {Identity{Proofs: []Proof{{pin.ID, "old"}}}, Decision{Authenticate, NoRule, NotAuthenticated, 0}},
		"not there":            {Identity{Proofs: []Proof{{"password", ""}, {"", ""}}}, Decision{Authenticate, NoRule, NotAuthenticated, 0}},
		"share link":           {Identity{Proofs: []Proof{{"x", "y"}, link}}, Decision{Allow, NoRule, Proven, WayShareLink}},
	} {
		f := request("192.0.2.1", "GET", "/")
		if got := Decide(c, &f, &c2.id); got != c2.want {
			t.Errorf("%s: %v, want %v", name, got, c2.want)
		}
	}
	over := request("192.0.2.1", "GET", "/")
	over.Time = noon.Add(time.Hour)
	if got := Decide(c, &over, &Identity{Proofs: []Proof{link}}); got.Action == Allow {
		t.Errorf("a share link that is over: %v", got)
	}
	if c.ShareLink("link", over.Time) != nil || c.ShareLink("token", noon) != nil || c.ServiceToken("link_1", "link", noon) != nil || c.ServiceToken("token_1", "tokem", noon) != nil {
		t.Error("a secret that is over, or of something else, is taken")
	}
	if c.ServiceToken("token_1", "token", noon) == nil || c.Known(WayPassword, "") != nil || c.Known(WayBasic, "pin") != nil {
		t.Error("credentials are mixed up")
	}
}

// Who signs in and may not come must not be sent to sign in again.
func TestSignInAlone(t *testing.T) {
	c := must(t, &Policy{Org: "org_a", Otherwise: Authenticate, Auth: Auth{SignIn: SignIn{Users: []string{"user_1"}}}})
	f := request("192.0.2.1", "GET", "/")
	if got, want := Decide(c, &f, &Identity{User: User{ID: "user_2", Org: "org_a"}}), (Decision{Deny, NoRule, NotPermitted, 0}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

// A changed secret is another version; the same one is not.
func TestVersions(t *testing.T) {
	of := func(h string, names ...string) string {
		return must(t, &Policy{Auth: Auth{PINHash: h, Basic: []Basic{{"a", hash}}}}).Known(WayPIN, "").Version
	}
	if once, again := of(hash), of(hash); once != again || once == of(hash+"x") {
		t.Error("versions do not follow the secret")
	}
	p := must(t, &Policy{Auth: Auth{PINHash: hash, PasswordHash: hash}})
	if p.Known(WayPIN, "").Version == p.Known(WayPassword, "").Version {
		t.Error("a PIN and a password of one hash are one version")
	}
}

func TestCompileNamesTheField(t *testing.T) {
	for want, p := range map[string]*Policy{
		"rules[2].networks[0]":                    {Rules: rules(t, `[{"action":"deny"},{"action":"deny"},{"action":"deny","networks":["x"]}]`)},
		"rules[0].unless.networks[1]":             {Rules: rules(t, `[{"action":"deny","unless":{"networks":["10.0.0.0/8","10.0.0.1/8"]}}]`)},
		"rules[0].paths[0]":                       {Rules: rules(t, `[{"action":"deny","paths":["admin"]}]`)},
		"rules[0].methods[0]":                     {Rules: rules(t, `[{"action":"deny","methods":["get"]}]`)},
		"rules[0].countries[1]":                   {Rules: rules(t, `[{"action":"deny","countries":["CH","Switzerland"]}]`)},
		"rules[0].asns[0]":                        {Rules: rules(t, `[{"action":"deny","asns":[0]}]`)},
		"rules[0].headers[0].name":                {Rules: rules(t, `[{"action":"deny","headers":[{"name":"X-Forwarded-For"}]}]`)},
		"rules[1].headers[0].name":                {Rules: rules(t, `[{"action":"deny"},{"action":"deny","headers":[{"name":"authorization"}]}]`)},
		"rules[0].windows[0].zone":                {Rules: rules(t, `[{"action":"deny","windows":[{"from":"08:00","to":"09:00","zone":"Mars/Olympus"}]}]`)},
		"rules[0].windows[0].from":                {Rules: rules(t, `[{"action":"deny","windows":[{"from":"8","to":"09:00","zone":"UTC"}]}]`)},
		"rules[0].windows[0].to":                  {Rules: rules(t, `[{"action":"deny","windows":[{"from":"08:00","to":"08:00","zone":"UTC"}]}]`)},
		"rules[0].windows[0].days[0]":             {Rules: rules(t, `[{"action":"deny","windows":[{"days":["Montag"],"from":"08:00","to":"09:00","zone":"UTC"}]}]`)},
		"rules[0].action":                         {Rules: rules(t, `[{"action":"authenticate"}]`)},
		"otherwise":                               {Otherwise: Authenticate},
		"auth.mail_code[1]":                       {Auth: Auth{Mail: []string{"a@example.org", "*@"}}},
		"auth.pin":                                {Auth: Auth{PINHash: "1234"}},
		"auth.basic[1].password":                  {Auth: Auth{Basic: []Basic{{"a", hash}, {"a", hash}}}},
		"auth.basic[0].user":                      {Auth: Auth{Basic: []Basic{{"a:b", hash}}}},
		"auth.share_links[0]":                     {Auth: Auth{ShareLinks: []Secret{{}}}},
		"auth.client_certificate.names[0]":        {Auth: Auth{ClientCertificate: ClientCertificate{AuthoritiesPEM: authority(t).pem, Names: []string{"*"}}}},
		"auth.client_certificate.authorities_pem": {Auth: Auth{ClientCertificate: ClientCertificate{AuthoritiesPEM: "x"}}},
	} {
		_, err := Compile(p)
		if fe, ok := errors.AsType[*FieldError](err); !ok || fe.Field != want {
			t.Errorf("%v, want one about %s", err, want)
		}
	}
}

func TestActionsAreWords(t *testing.T) {
	var r Rule
	if err := json.Unmarshal([]byte(`{"action": "permit"}`), &r); err == nil {
		t.Error("an action that does not exist is read")
	}
	b, err := json.Marshal(Rule{Action: Allow, Conditions: Conditions{Paths: []string{"/"}}})
	if want := `{"action":"allow","paths":["/"]}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

func TestDecideAllocatesNothing(t *testing.T) {
	c, f, id := heavy(t)
	if n := testing.AllocsPerRun(100, func() { Decide(c, f, id) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// heavy is a policy of a hundred rules, the last of which decides.
func heavy(t testing.TB) (*Compiled, *Facts, *Identity) {
	p := &Policy{Org: "org_a", Otherwise: Deny, Auth: Auth{SignIn: SignIn{Groups: []string{"ops"}}, PINHash: hash}}
	for i := range 99 {
		p.Rules = append(p.Rules, rules(t, fmt.Sprintf(`[
			{"action": "deny", "networks": ["10.%d.0.0/16"], "paths": ["/a%d/**/x*"], "methods": ["POST"]},
			{"action": "deny", "paths": ["/wiki/**/secret%d"]},
			{"action": "allow", "countries": ["LI"], "asns": [%d]},
			{"action": "deny", "headers": [{"name": "x-a", "values": ["%d"]}], "windows": [{"from": "11:00", "to": "13:00", "zone": "Europe/Zurich"}]}
		]`, i, i, i, i+1, i))[i%4])
	}
	p.Rules = append(p.Rules, Rule{Action: Authenticate, Conditions: Conditions{Networks: hundred()}})
	f := request("::ffff:10.99.0.1", "GET", "/wiki/some;v=1/page%20with/a/path")
	f.Country, f.ASN, f.Header = "CH", 64500, map[string][]string{"X-A": {"b"}}
	return must(t, p), &f, &Identity{User: User{ID: "user_1", Org: "org_a", Groups: []string{"dev", "ops"}}}
}

func BenchmarkDecide(b *testing.B) {
	c, f, id := heavy(b)
	b.ReportAllocs()
	for b.Loop() {
		Decide(c, f, id)
	}
}
