package console

import (
	"html"
	"regexp"
	"strings"
	"testing"
)

var typedText = regexp.MustCompile(`(?s)<textarea[^>]*>(.*?)</textarea>`)

// A policy and a service are written as YAML: checked with the line of what is wrong, rehearsed with who would hear of it,
// saved all of it or none.
func TestYAML(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "member"))
	const at = "/console/orgs/default/services/wiki/yaml"
	m := typedText.FindStringSubmatch(b.get(at).body)
	if m == nil {
		t.Fatal("nothing to write into")
	}
	text := html.UnescapeString(m[1])
	before := r.world.Get().Revision()
	if got := b.post(at, "text", text, "do", "check"); got.status != 200 || !strings.Contains(got.body, "as it is") || !strings.Contains(got.body, "Nobody") {
		t.Errorf("as it is: %d %s", got.status, got.body)
	}
	changed := strings.Replace(text, "hostname: wiki.example.org", "hostname: wiki9.example.org", 1)
	got := b.post(at, "text", changed, "do", "check")
	for _, want := range []string{"changed", "<ins>+  hostname: wiki9.example.org</ins>", "Route of service wiki", "node " + r.nodeID("edge-1"), "hostname: wiki9.example.org\n"} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %q in what would be: %s", want, got.body)
		}
	}
	if got := r.browser(r.user("root@example.org", "cluster-admin", "", "")).post(at, "text", changed, "do", "check"); !strings.Contains(got.body, "node edge-1") {
		t.Errorf("who sees nodes is told an id: %s", got.body)
	}
	for wrong, says := range map[string]string{
		strings.Replace(text, "kind: http", "kind: htp", 1):                       "line 6, column 3: spec.kind",
		strings.Replace(text, "port: 8080", "port: 8080\n  colour: red", 1):       "spec.colour",
		strings.Replace(text, "pool: default", "pool: nowhere", 1):                "spec.pool: ",
		strings.Replace(text, "address: 192.168.1.20", "address: \"not one\"", 1): "spec.address: ",
		strings.Replace(text, "name: wiki", "name: No Name", 1):                   "line 4, column 3: metadata.name",
		strings.Replace(text, "apiVersion: warren/v1", "apiVersion: v1", 1):       "line 1, column 1: apiVersion",
		strings.Replace(text, "kind: Target", "kind: Secret", 1):                  "Policy, Service and Target",
		strings.Replace(text, "metadata:", "metadata:\n  colour: red", 1):         "line 4, column 3: ",
		"apiVersion: [":                         "line 1",
		"# nothing\n":                           "there is no object in this",
		text + "---\n" + text:                   "is described twice",
		strings.Replace(text, "spec:", "x:", 1): "line 5",
	} {
		for _, do := range []string{"check", "save"} {
			got := b.post(at, "text", wrong, "do", do)
			if got.status != 422 || !strings.Contains(got.body, html.EscapeString(says)) || !strings.Contains(got.body, `id="w-text"`) {
				t.Errorf("%s of %s: %d without %q: %v", do, wrong, got.status, says, regexp.MustCompile(`(?s)<div class="note bad".*?</div>`).FindString(got.body))
			}
		}
	}
	head, err := r.admin.Head(t.Context())
	if err != nil || head != before {
		t.Fatalf("something was written by asking: %d, then %d, %v", before, head, err)
	}
	if got := b.post(at, "text", changed, "do", "save"); got.status != 200 || !strings.Contains(got.body, "1 of 2 objects changed") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	r.catchUp()
	if s := r.service("wiki"); s.Hostname != "wiki9.example.org" || s.Policy.IsZero() {
		t.Errorf("%+v", s)
	}

	many := text + "  a0: b\n"
	for i := range 30 {
		many += "  a" + itoa(i+1) + ": b\n"
	}
	if _, _, wrong := (&Request{Console: r.con, Who: r.key, Org: byName(r.world.Get(), r.key, "default")}).wanted(many); len(wrong) != mostWrong {
		t.Errorf("%d things are wrong, and each is looked for", len(wrong))
	}

	const policy = "/console/orgs/default/policies/staff/yaml"
	m = typedText.FindStringSubmatch(b.get(policy).body)
	if m == nil {
		t.Fatal("no YAML of a policy to write into")
	}
	text = strings.Replace(html.UnescapeString(m[1]), "/admin/**", "/admin/**\n        - /root/**", 1)
	if got := b.post(policy, "text", strings.Replace(text, "action: deny", "action: dney", 1), "do", "save"); got.status != 422 || !strings.Contains(got.body, "spec.rules[0].action") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(policy, "text", text, "do", "save"); got.status != 200 {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if v, err := r.admin.Policies.Get(t.Context(), r.key, "default", "staff"); err != nil || len(v.Rules) != 1 || len(v.Rules[0].Paths) != 2 {
		t.Errorf("%+v %v", v, err)
	}
	viewer := r.browser(r.user("viewer@example.org", "", "default", "viewer")).get(policy)
	if viewer.status != 200 || strings.Contains(viewer.body, "<textarea") || !strings.Contains(viewer.body, "kind: Policy") {
		t.Errorf("a viewer sees %d %s", viewer.status, viewer.body)
	}
}
