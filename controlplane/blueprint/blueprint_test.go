package blueprint

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestConvert holds what becomes of a blueprint, manifests and report.
func TestConvert(t *testing.T) {
	in, err := os.Open("testdata/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	b, err := Read(in)
	if err != nil {
		t.Fatal(err)
	}
	out, notes := Convert(b, Options{Pool: "default", Site: "home"})
	var got strings.Builder
	for _, m := range out {
		doc, err := yaml.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("---\n" + string(doc))
	}
	got.WriteString("=== report\n")
	for _, n := range notes {
		got.WriteString(n.String() + "\n")
	}
	const golden = "testdata/homelab.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s\n%v", got.String(), want, err)
	}
}

// What can't be carried over whole of who may come leaves the resource out: it would be more open than it was.
func TestNothingComesOutMoreOpen(t *testing.T) {
	const head = "public-resources:\n  a:\n    name: A\n    mode: http\n    full-domain: a.example.com\n    targets: [{site: s, hostname: h, port: 80, method: http}]\n"
	for name, tail := range map[string]string{
		"a rule that is not known":    "    rules: [{action: deny, match: weather, value: rain}]\n",
		"an action that is not known": "    rules: [{action: ask, match: path, value: /x}]\n",
		"a network that is none":      "    rules: [{action: deny, match: cidr, value: rubbish}]\n",
		"a region that is none":       "    rules: [{action: deny, match: region, value: \"999\"}]\n",
		"a short password":            "    auth: {password: short}\n",
		"a short PIN":                 "    auth: {pincode: 123}\n",
		"a policy of another file":    "    policy: staff\n",
		"two policies":                "    policy: staff\n    auth: {sso-enabled: true}\n",
		"a policy that is not whole":  "    policy: staff\npublic-policies:\n  staff: {name: S, apply-rules: true, rules: [{action: deny, match: weather, value: rain}]}\n",
	} {
		b, err := Read(strings.NewReader(head + tail))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out, notes := Convert(b, Options{Pool: "default"})
		if slices.ContainsFunc(out, func(m Manifest) bool { return m.Kind == "Service" }) || len(notes) == 0 {
			t.Errorf("%s: %+v, %v", name, out, notes)
		}
	}
	b, err := Read(strings.NewReader(head))
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := Convert(b, Options{Pool: "default"}); len(out) != 2 || out[0].Spec["policy"] != nil {
		t.Errorf("without rules: %+v", out)
	}
}

func TestReadRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "nothing in it",
		"a: [":                     "[1:",
		"services: {}":             "no blueprint",
		"public-resources: {a: 7}": "[1:",
		"public-resources: {a: {}}\nproxy-resources: {a: {}}": "public-resources and in proxy-resources",
	} {
		if _, err := Read(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", in, err, want)
		}
	}
}

func FuzzConvert(f *testing.F) {
	b, err := os.ReadFile("testdata/homelab.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("public-resources: {a: null, b: {mode: http, full-domain: x, targets: [{}]}}\nsites: {a: null}\npublic-policies: {p: null}")
	f.Fuzz(func(t *testing.T, in string) {
		b, err := Read(strings.NewReader(in))
		if err != nil {
			return
		}
		out, _ := Convert(b, Options{Pool: "default", Site: "home"})
		seen := map[string]bool{}
		for _, m := range out {
			if seen[m.Kind+"/"+m.Name] {
				t.Errorf("%s %s twice", m.Kind, m.Name)
			}
			seen[m.Kind+"/"+m.Name] = true
		}
	})
}
