package cli

import (
	"bytes"
	"strings"
	"testing"
)

// What an import prints can be applied.
func TestImportedManifestsAreManifests(t *testing.T) {
	const in = "public-resources:\n  wiki:\n    name: Wiki\n    mode: http\n    full-domain: wiki.example.com\n    auth: {sso-enabled: true}\n    targets: [{hostname: 10.0.0.5, port: 80, method: http}]\n  screen: {name: S, mode: vnc, full-domain: s.example.com}\n"
	var out, words bytes.Buffer
	if code := Main([]string{"import", "pangolin", "-", "--site", "home"}, strings.NewReader(in), &out, &words); code != 0 {
		t.Fatalf("%d: %s", code, words.String())
	}
	docs, err := parseManifests("-", out.Bytes())
	if err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	var kinds []string
	for _, d := range docs {
		kinds = append(kinds, d.Kind+" "+d.Metadata.Name)
	}
	if got := strings.Join(kinds, ", "); got != "Policy wiki, Service wiki, Target wiki" {
		t.Error(got)
	}
	if !strings.Contains(words.String(), "left out  public-resources.screen.mode") {
		t.Error(words.String())
	}
	out.Reset()
	if code := Main([]string{"import", "pangolin", "-", "--site", "home", "--strict"}, strings.NewReader(in), &out, &words); code != 1 {
		t.Errorf("exit code %d though something is left out", code)
	}
	if code := Main([]string{"import", "pangolin", "-"}, strings.NewReader("a: ["), &out, &words); code != 1 || !strings.Contains(words.String(), "-: [1:") {
		t.Errorf("%d: %s", code, words.String())
	}
}
