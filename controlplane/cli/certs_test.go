package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// A certificate that somebody had revoked says who, when and why.
func TestDescribeShowsRevocations(t *testing.T) {
	var m typed.Managed
	err := json.Unmarshal([]byte(`{"names":["example.org"],"state":"valid","next_attempt":"2026-12-01T00:00:00Z","revocations":[
		{"certificate":"cert_b","reason":"keyCompromise","asked_by":"ann@example.org","asked_at":"2026-11-26T10:00:00Z","next_attempt":"2026-11-26T10:05:00Z","problem":"the authority is away"},
		{"certificate":"cert_a","reason":"superseded","asked_at":"2026-11-25T10:00:00Z","revoked_at":"2026-11-25T10:00:03Z"}]}`), &m)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := describeManaged(&out, m); err != nil {
		t.Fatal(err)
	}
	const want = `
Revocation of cert_b: keyCompromise, asked for at 2026-11-26T10:00:00Z by ann@example.org
  not revoked yet, next attempt 2026-11-26T10:05:00Z
  the authority is away

Revocation of cert_a: superseded, asked for at 2026-11-25T10:00:00Z
  revoked at 2026-11-25T10:00:03Z
`
	if !strings.Contains(out.String(), want) {
		t.Errorf("got\n%s\nwant in it\n%s", out.String(), want)
	}
}
