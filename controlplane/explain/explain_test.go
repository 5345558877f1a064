package explain

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/policy"
)

const rows = `
	organization acme
	organization other
	pool edge
	site home organization=acme pool=edge
	policy staff organization=acme networks=192.0.2.0/24 links=l1
	policy torn organization=acme broken=torn
	service wiki organization=acme pool=edge hostname=wiki.example.org policy=staff
	service wild organization=acme pool=edge hostname=*.example.org
	service torn organization=acme pool=edge hostname=torn.example.org policy=torn
	service lost organization=acme pool=edge hostname=lost.example.org policy=nowhere
	service theirs organization=other pool=edge hostname=theirs.example.net
	target t1 organization=acme service=wiki site=home address=10.0.0.1 port=80
	target t2 organization=acme service=wiki site=home address=10.0.0.2 port=80 path=/api
	target t3 organization=acme service=wiki site=home address=10.0.0.3 port=80 path=/api
`

func TestExplain(t *testing.T) {
	b, err := modeltest.Parse(0, rows)
	if err != nil {
		t.Fatal(err)
	}
	m := model.Empty().Apply(b)
	org := model.OrgID{UUID: modeltest.UUID("organization", "acme")}
	link := model.ShareLinkID{UUID: modeltest.UUID("link", "l1")}.String()
	in, out := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	for _, tt := range []struct {
		url      string
		from     netip.Addr
		with     []string
		service  string
		refused  string // start of it
		decision policy.Decision
		targets  string
	}{
		{"https://wiki.example.org/x", in, nil, "wiki", "", policy.Decision{Action: policy.Allow}, "t1"},
		{"https://WIKI.example.org/api/y?z=1", in, nil, "wiki", "", policy.Decision{Action: policy.Allow}, "t2 t3"},
		{"https://wiki.example.org/apis", in, nil, "wiki", "", policy.Decision{Action: policy.Allow}, "t1"},
		{"https://wiki.example.org/", out, nil, "wiki", "", policy.Decision{Action: policy.Authenticate, Rule: policy.NoRule, Reason: policy.NotAuthenticated}, "t1"},
		{"https://wiki.example.org/", out, []string{link}, "wiki", "", policy.Decision{Action: policy.Allow, Rule: policy.NoRule, Reason: policy.Proven, Way: policy.WayShareLink}, "t1"},
		{"https://wiki.example.org/a/%2e%2e/b", in, nil, "wiki", "400", policy.Decision{}, ""},
		{"https://wiki.example.org/a%2fb", in, nil, "wiki", "400", policy.Decision{}, ""},
		{"https://x.example.org/", out, nil, "wild", "503: the service has no target", policy.Decision{Action: policy.Allow, Rule: policy.NoRule}, ""},
		{"https://torn.example.org/", in, nil, "torn", "503: the policy", policy.Decision{}, ""},
		{"https://lost.example.org/", in, nil, "lost", "503: the policy", policy.Decision{}, ""},
	} {
		a, err := Explain(m, org, Question{Method: "GET", URL: tt.url, Client: tt.from, Time: modeltest.Epoch, Shown: tt.with})
		if err != nil {
			t.Errorf("%s: %v", tt.url, err)
			continue
		}
		var targets []string
		for _, v := range a.Targets {
			targets = append(targets, v.Name)
		}
		if a.Service.Name != tt.service || !strings.HasPrefix(a.Refused, tt.refused) || tt.refused == "" && a.Refused != "" || a.Decision != tt.decision {
			t.Errorf("%s: %s, %q, %v", tt.url, a.Service.Name, a.Refused, a.Decision)
		}
		if got := strings.Join(sorted(targets), " "); got != tt.targets {
			t.Errorf("%s: targets %s, want %s", tt.url, got, tt.targets)
		}
	}
	// A link that is over is no way in, and nobody hears of another organization's services.
	a, err := Explain(m, org, Question{Method: "GET", URL: "https://wiki.example.org/", Client: out, Time: modeltest.Epoch.Add(2 * time.Hour), Shown: []string{link}})
	if err != nil || a.Decision.Action != policy.Authenticate || a.Ways != policy.WayShareLink {
		t.Errorf("%+v, %v", a, err)
	}
	for _, url := range []string{"https://theirs.example.net/", "https://nobody.example.net/"} {
		if _, err := Explain(m, org, Question{Method: "GET", URL: url, Client: in}); fault.Of(err) != fault.NotFound {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }
