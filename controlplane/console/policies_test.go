package console

import (
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

// What a form shows of a policy is the policy.
func TestPolicyForm(t *testing.T) {
	for name, s := range map[string]admin.PolicySpec{
		"nothing": {Otherwise: "deny"},
		"all of it": {Otherwise: "authenticate", Rules: []admin.PolicyRule{
			{Action: "allow", PolicyConditions: admin.PolicyConditions{
				Networks: []string{"192.0.2.0/24", "2001:db8::/32"}, Paths: []string{"/a b/**", "/c,d"}, Methods: []string{"GET", "HEAD"}, Countries: []string{"CH"}, ASNs: []int64{64496},
				Headers: []admin.PolicyHeader{{Name: "X-A", Values: []string{"1", "2: 3"}}, {Name: "X-B"}},
				Windows: []admin.PolicyWindow{{Days: []string{"mon", "fri"}, From: "08:00", To: "17:00", Zone: "Europe/Zurich"}, {From: "22:00", To: "06:00", Zone: "UTC"}},
			}, Unless: &admin.PolicyConditions{Countries: []string{"DE"}}},
			{Action: "deny"},
		}, Auth: &admin.PolicyAuth{
			SignIn: &admin.PolicySignIn{Members: true, Users: []string{"ann@example.org"}, Roles: []string{"owner"}, Groups: []string{"staff"}}, MailCode: []string{"*@example.org"},
			PIN: &admin.PolicyPIN{}, Password: &admin.PolicyPassword{}, Basic: []admin.PolicyBasic{{User: "bot"}},
			ClientCertificate: &admin.PolicyCertificate{AuthoritiesPEM: "PEM\n", Names: []string{"*.example.org"}},
		}},
	} {
		f := policyForm(s)
		typed := Form{Values: url.Values{}}
		for name, v := range f.Values { // as a browser sends it
			typed.Set(name, strings.TrimSpace(v[0]))
		}
		got, err := policySpec(typed)
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%s: %v\n%+v\n%+v", name, err, got, s)
		}
	}
	for field, text := range map[string]string{"asns": "some", "windows": "all day"} {
		if _, err := policySpec(filled("n", "1", "rules[0].action", "deny", "rules[0].unless."+field, text)); err == nil || !strings.Contains(err.Error(), "rules[0].unless."+field+"[0]") {
			t.Errorf("%s %q: %v", field, text, err)
		}
	}
}

func TestArrange(t *testing.T) {
	for _, tc := range []struct {
		do, want string
		done     bool
	}{
		{"", "a b c", false}, {"add", "a b c -", true}, {"remove 0", "b c", true}, {"remove 2", "a b", true}, {"up 1", "b a c", true}, {"down 1", "a c b", true},
		{"up 0", "a b c", true}, {"down 2", "a b c", true}, {"remove 7", "a b c", true}, {"up x", "a b c", true}, {"remove -1", "a b c", true}, {"else", "a b c", true},
	} {
		f := filled("n", "3", "rules[0].paths", "a", "rules[1].paths", "b", "rules[2].paths", "c", "do", tc.do)
		done := f.arrange()
		var got []string
		for i := range f.ruleCount() {
			text := f.Get(ruleField(i, "paths"))
			if text == "" {
				text = "-"
			}
			got = append(got, text)
		}
		if strings.Join(got, " ") != tc.want || done != tc.done {
			t.Errorf("%q: %v %v", tc.do, got, done)
		}
	}
}

// A policy is written by a form alone: rules are added and moved by its buttons; what is wrong stands at its field.
func TestPolicyPages(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	const at = "/console/orgs/default/"
	got := b.post(at+"new-policy", "n", "1", "do", "add", "name", "guests", "rules[0].action", "deny", "rules[0].networks", "192.0.2.0/24", "otherwise", "authenticate", "auth.sign_in.members", "on")
	if got.status != 200 || !strings.Contains(got.body, "Rule 2") || !strings.Contains(got.body, "192.0.2.0/24") || !strings.Contains(got.body, `value="guests"`) {
		t.Fatalf("a rule more: %d %s", got.status, got.body)
	}
	typed := []string{"n", "2", "name", "guests", "rules[0].action", "deny", "rules[0].networks", "192.0.2.0/24", "rules[1].action", "allow", "otherwise", "authenticate", "pin", "on", "auth.pin.code", "135790"}
	got = b.post(at+"new-policy", append(typed, "rules[1].countries", "XYZ")...)
	if got.status != 422 || !strings.Contains(got.body, `id="w-rules[1].countries"`) || !strings.Contains(got.body, `href="#f-rules[1].countries"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = b.post(at+"new-policy", append(typed, "rules[1].countries", "CH")...)
	if v, err := r.admin.Policies.Get(t.Context(), r.key, "default", "guests"); err != nil || got.status != 200 || len(v.Rules) != 2 || v.Rules[0].Networks[0] != "192.0.2.0/24" || v.Auth == nil || v.Auth.PIN == nil {
		t.Fatalf("%d %+v %v: %s", got.status, v, err, got.body)
	}
	got = b.post(at+"policies/guests/edit", "n", "2", "rules[0].action", "deny", "rules[0].networks", "192.0.2.0/24", "rules[1].action", "allow", "rules[1].countries", "CH", "otherwise", "authenticate", "pin", "on")
	if got.status != 200 || got.path != at+"policies/guests" || !strings.Contains(got.body, "a PIN") || strings.Contains(got.body, "135790") {
		t.Errorf("its PIN is not kept: %d %s", got.status, got.body)
	}
	if got = b.post(at+"policies/staff/delete", "x", "y"); got.status != 409 || !strings.Contains(got.body, "open to everybody") {
		t.Errorf("a policy that is used: %d %s", got.status, got.body)
	}
	if got = b.post(at + "policies/guests/delete"); got.status != 200 || got.path != at+"policies" {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// What opens a policy is shown once, and opens nothing once it is revoked.
func TestPolicySecrets(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	const at = "/console/orgs/default/policies/staff"
	got := b.post(at+"/new-link", "title", "for Bea", "life", "168h", "max_uses", "3")
	if got.status != 200 || !strings.Contains(got.body, "https://wiki.example.org/?") || !strings.Contains(got.body, "never again") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := b.post(at+"/new-link", "life", "forever", "max_uses", "x"); got.status != 422 || !strings.Contains(got.body, `id="w-max_uses"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	got = b.post(at+"/new-token", "name", "backup", "life", "")
	if got.status != 200 || !strings.Contains(got.body, "Warren-Token-Secret: ") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := b.post(at+"/new-token", "name", "No Name"); got.status != 422 || !strings.Contains(got.body, `value="No Name"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	page := b.get(at)
	if !strings.Contains(page.body, "for Bea") || !strings.Contains(page.body, "0 of 3") || !strings.Contains(page.body, "backup") || strings.Contains(page.body, "Token-Secret") {
		t.Error(page.body)
	}
	revoke := regexp.MustCompile(`href="(/console/orgs/default/policies/staff/(?:links|tokens)/[^"]*/revoke)"`)
	ways := revoke.FindAllStringSubmatch(page.body, -1)
	if len(ways) != 4 { // and those of the furniture
		t.Fatalf("%v", ways)
	}
	viewer := r.browser(r.user("viewer@example.org", "", "default", "viewer"))
	for _, m := range ways {
		if got := viewer.post(m[1]); got.status != 403 {
			t.Errorf("a viewer revokes: %d", got.status)
		}
		if got := b.post(m[1]); got.status != 200 || got.path != at {
			t.Errorf("%s: %d", m[1], got.status)
		}
	}
	if got := b.get(at); revoke.MatchString(got.body) {
		t.Error("it is there all the same")
	}
}

func TestTestRequest(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	for query, shows := range map[string][]string{
		"url=https%3A%2F%2Fwiki.example.org%2Fadmin%2Fx":                {"denied", ", rule 1", "/admin/x"},
		"url=https%3A%2F%2Fwiki.example.org%2F":                         {"has to authenticate", "staff"},
		"url=https%3A%2F%2Fwiki.example.org%2F&as=ann%40example.org":    {"allowed", "192.168.1.20:8080", "unhealthy"},
		"url=https%3A%2F%2Fmail.example.org%2F":                         {"no target"},
		"url=https%3A%2F%2Fwiki.example.org%2F&as=nobody%40example.org": {`id="w-as"`},
		"url=https%3A%2F%2Felsewhere.example.com%2F":                    {`id="w-url"`},
		"url=wiki": {`id="w-url"`},
		"url=https%3A%2F%2Fwiki.example.org%2F&from=home":                      {`id="w-from"`},
		"url=https%3A%2F%2Fwiki.example.org%2F&at=noon&headers=X-Probe%3A%201": {`id="w-at"`},
	} {
		got := b.get("/console/orgs/default/test?" + query)
		if want := strings.HasPrefix(shows[0], "id="); want != (got.status == 422) {
			t.Errorf("%s: %d", query, got.status)
		}
		for _, s := range shows {
			if !strings.Contains(got.body, s) {
				t.Errorf("%s: no %q in %s", query, s, got.body[strings.Index(got.body, "<main"):])
			}
		}
	}
	if got := b.get("/console/orgs/default/services/wiki"); !strings.Contains(got.body, `href="/console/orgs/default/test?url=https%3A%2F%2Fwiki.example.org%2F"`) {
		t.Error("no way from a service to its test")
	}
}
