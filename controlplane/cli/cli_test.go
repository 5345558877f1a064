package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// fakeAPI records the calls and answers each path with what a test says.
type fakeAPI struct {
	*httptest.Server
	mu      sync.Mutex
	calls   []string
	answers map[string]answer // by method and path
}

type answer struct {
	status   int
	revision string // with "=" before it: nothing changed
	body     string
}

func newAPI(t *testing.T, answers map[string]answer) *fakeAPI {
	t.Helper()
	f := &fakeAPI{answers: answers}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.calls = append(f.calls, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+string(body)))
		f.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		a, ok := f.answers[r.Method+" "+r.URL.Path]
		if !ok {
			a = answer{status: 404, body: `{"title":"Not Found","status":404,"detail":"site: not found"}`}
		}
		if a.revision != "" {
			rev, same := strings.CutPrefix(a.revision, "=")
			w.Header().Set("X-Warren-Revision", rev)
			if same {
				w.Header().Set("X-Warren-Unchanged", "true")
			}
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	t.Cleanup(f.Close)
	t.Setenv("WARREN_SERVER", f.URL)
	t.Setenv("WARREN_API_KEY", "key")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	return f
}

func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errw strings.Builder
	code = Main(args, strings.NewReader(stdin), &out, &errw)
	return code, out.String(), errw.String()
}

func TestExitCodes(t *testing.T) {
	newAPI(t, map[string]answer{
		"GET /api/v1/orgs/default/sites": {200, "", `{"items":[]}`},
		"GET /api/v1/pools/busy":         {503, "", `{"title":"Service Unavailable","status":503}`},
		"GET /api/v1/pools/secret":       {403, "", `{"title":"Forbidden","status":403}`},
		"GET /api/v1/wait":               {504, "", `{"title":"Gateway Timeout","status":504}`},
		"GET /api/v1/status":             {200, "", `{"revision":7,"nodes":[{"name":"n1","state":"down"}]}`},
	})
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"get sites", 0, ""},
		{"get sites home", 1, "site: not found"},
		{"get pools busy", 1, "Service Unavailable"},
		{"get pools secret", 5, "Forbidden"},
		{"get", 2, "Try: warren get --help"},
		{"get things", 2, "unknown kind"},
		{"frobnicate", 2, "unknown command"},
		{"node frobnicate", 2, "unknown command"},
		{"statsu", 2, "did you mean status?"},
		{"node drian x", 2, "did you mean drain?"},
		{"get servics", 2, "did you mean services"},
		{"get xyzzyplugh", 2, "there are organizations, "},
		{"node", 2, "needs a command"},
		{"get sites --nope", 2, "unknown flag"},
		{"delete site home", 2, "give --yes"},
		{"create site home", 2, "required flag"},
		{"wait 9 --timeout 1ms", 4, "wait for revision 9"},
		{"wait x", 2, "is no number"},
		{"status", 4, ""},
		{"get sites -o xml", 2, "there is table"},
		{"version", 0, ""},
	} {
		code, _, stderr := run(t, "", strings.Fields(tc.args)...)
		if code != tc.code || !strings.Contains(stderr, tc.says) {
			t.Errorf("warren %s: exit %d, %q; want %d, %q", tc.args, code, stderr, tc.code, tc.says)
		}
	}
	t.Setenv("WARREN_API_KEY", "wrong")
	if code, _, _ := run(t, "", "get", "sites"); code != 5 {
		t.Errorf("wrong key: exit %d", code)
	}
	t.Setenv("WARREN_API_KEY", "")
	if code, _, stderr := run(t, "", "get", "sites"); code != 2 || !strings.Contains(stderr, "no API key") {
		t.Errorf("no key: exit %d, %s", code, stderr)
	}
}

func TestAlarmsAreSaidAndAreNoSuccess(t *testing.T) {
	newAPI(t, map[string]answer{"GET /api/v1/status": {200, "", `{"revision":7,"connectors":[
		{"name":"a","site":"s","state":"up"},{"name":"b","site":"s","state":"up","alarm":{"kind":"copied","text":"revoke b"}}]}`}})
	if code, stdout, _ := run(t, "", "status"); code != 4 || strings.Count(stdout, "ALARM: ") != 1 || !strings.Contains(stdout, "ALARM: revoke b\n") {
		t.Errorf("exit %d\n%s", code, stdout)
	}
}

func TestGetFormats(t *testing.T) {
	newAPI(t, map[string]answer{
		"GET /api/v1/nodes":                {200, "", `{"items":[{"id":"node_1","name":"n1","pool":"default","addresses":["192.0.2.1","192.0.2.2"],"enrolled":true,"capacity":100,"lifecycle":"active"}]}`},
		"GET /api/v1/nodes/n1":             {200, "", `{"id":"node_1","name":"n1"}`},
		"GET /api/v1/orgs/default/targets": {200, "", `{"items":[{"name":"t","port":80,"weight":100,"health":{"state":"unhealthy","reason":"status 500"}}]}`},
	})
	for args, want := range map[string]string{
		"get targets":          "80    -            100     unhealthy: status 500",
		"get nodes":            "n1    default  -       192.0.2.1,192.0.2.2  100       active     true",
		"get nodes -o wide":    "WIREGUARD ENDPOINT",
		"get nodes -o name":    "n1\n",
		"get nodes -o json":    `"node_1"`,
		"get node n1 -o yaml":  "id: node_1",
		"get nodes n1 -o json": "{\n  \"name\": \"n1\",\n  \"id\": \"node_1\"",
	} {
		if code, out, stderr := run(t, "", strings.Fields(args)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %q %s; want %q", args, code, out, stderr, want)
		}
	}
}

// What a kind can be, the typed client has a call for.
func TestEveryKindHasItsCalls(t *testing.T) {
	f := newAPI(t, nil)
	client, err := apiclient.New(apiclient.Options{Server: f.URL, Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{typed.New(client), client, "default"}
	for _, k := range kinds {
		o := s.of(k)
		name := map[string]any{"name": "x"}
		calls := map[string]func() error{
			"list":   func() error { _, err := o.List(t.Context(), typed.Listing{}); return err },
			"get":    func() error { _, _, err := o.Get(t.Context(), "x"); return err },
			"delete": func() error { _, err := o.Delete(t.Context(), "x"); return err },
		}
		if k.writable() {
			calls["create"] = func() error { _, _, err := o.Create(t.Context(), name); return err }
			calls["put"] = func() error { _, _, err := o.Put(t.Context(), "x", name); return err }
		}
		if k.writable() && k.name != "APIKey" {
			calls["label"] = func() error { _, _, err := o.Label(t.Context(), "x", nil); return err }
		}
		for verb, call := range calls {
			if err := call(); apiclient.StatusOf(err) != http.StatusNotFound { // of the server: the call was made
				t.Errorf("%s %s: %v", verb, k.plural, err)
			}
		}
	}
}

// Commands call the API by its types. The transport below them is for what has none: answers that go on, and whether anybody answers.
func TestCallsAreTyped(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\.wire\.(\w+)`).FindAllSubmatch(text, -1) {
			if what := string(m[1]); what != "Stream" && what != "Events" && what != "Reach" {
				t.Errorf("%s calls %s of the transport", name, what)
			}
		}
		if !strings.HasSuffix(name, "_test.go") && strings.Contains(string(text), "http.Method") && name != "bugreport.go" {
			t.Errorf("%s makes calls by itself", name)
		}
	}
}

const twoDocs = `# a service
apiVersion: warren/v1
kind: Target
metadata: {name: wiki}
spec: {service: wiki, site: home, address: 10.0.0.1, port: 80}
---
apiVersion: warren/v1
kind: Service
metadata:
  name: wiki
  organization: acme
spec:
  kind: http
  hostname: wiki.example.org
  pool: default
`

const applyAt = "POST /api/v1/orgs/default/manifests/apply"

// All documents go in one call, which the control plane does whole.
func TestApplySendsAllAtOnce(t *testing.T) {
	api := newAPI(t, map[string]answer{
		applyAt: {200, "12", `{"objects":[{"kind":"Target","name":"wiki"},{"kind":"Service","name":"wiki","changed":true},
			{"kind":"Webhook","name":"h","changed":true,"secret":"whsec_x"}],"removed":[{"kind":"Site","name":"old","changed":true}]}`},
		"GET /api/v1/wait": {200, "", `{"revision":12,"applied":[{"kind":"node","name":"n1"}]}`},
	})
	code, stdout, stderr := run(t, twoDocs, "apply", "-f", "-", "--wait", "--set", "shop")
	for _, want := range []string{"service wiki written, revision 12", "target wiki unchanged", "site old removed", "applied by 1"} {
		if code != 0 || !strings.Contains(stderr, want) || stdout != "whsec_x\n" {
			t.Errorf("%d %q %s; want %q", code, stdout, stderr, want)
		}
	}
	want := []string{
		applyAt + ` {"documents":[` +
			`{"apiVersion":"warren/v1","kind":"Target","metadata":{"name":"wiki"},"spec":{"address":"10.0.0.1","port":80,"service":"wiki","site":"home"}},` +
			`{"apiVersion":"warren/v1","kind":"Service","metadata":{"name":"wiki","organization":"acme"},"spec":{"hostname":"wiki.example.org","kind":"http","pool":"default"}}],"set":"shop"}`,
		`GET /api/v1/wait`,
	}
	if !slices.Equal(api.calls, want) {
		t.Errorf("calls %q", api.calls)
	}
}

// What the control plane finds wrong with a document is said of its place in the file.
func TestApplyNamesTheLine(t *testing.T) {
	newAPI(t, map[string]answer{applyAt: {422, "", `{"title":"Unprocessable Entity","status":422,"detail":"the documents can't be applied",
		"errors":[{"message":"does not exist","location":"body.documents[1].spec.pool"},{"message":"unexpected property","location":"body.documents[0].spec.port"}]}`}})
	code, _, stderr := run(t, twoDocs, "apply", "-f", "-")
	for _, want := range []string{"document 2: [15:3] Service wiki: spec.pool: does not exist", "document 1: [5:54] Target wiki: spec.port: unexpected", "nothing was written"} {
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%d %s; want %q", code, stderr, want)
		}
	}
}

// Before something is removed a person is asked, or --yes is needed.
func TestPruneAsks(t *testing.T) {
	api := newAPI(t, map[string]answer{applyAt: {200, "3", `{"objects":[],"removed":[{"kind":"Site","name":"old","changed":true}]}`}})
	code, _, stderr := run(t, twoDocs, "apply", "-f", "-", "--prune")
	if code != 2 || !strings.Contains(stderr, "site old is in no file any more") || len(api.calls) != 1 {
		t.Errorf("%d %s %q", code, stderr, api.calls)
	}
	if code, _, stderr := run(t, twoDocs, "apply", "-f", "-", "--prune", "--yes"); code != 0 || !strings.Contains(stderr, "site old removed") || len(api.calls) != 2 {
		t.Errorf("%d %s %q", code, stderr, api.calls)
	}
	if code, _, _ := run(t, twoDocs, "apply", "-f", "-", "--prune", "-l", "a=b"); code != 2 {
		t.Errorf("prune of what was not selected: %d", code)
	}
}

func TestDiffAndDryRun(t *testing.T) {
	api := newAPI(t, map[string]answer{applyAt: {200, "", `{"objects":[{"kind":"Service","name":"wiki","organization":"acme","changed":true,
		"before":{"apiVersion":"warren/v1","kind":"Service","metadata":{"name":"wiki"},"spec":{"pool":"a"}},
		"after":{"apiVersion":"warren/v1","kind":"Service","metadata":{"name":"wiki"},"spec":{"pool":"b"}}}],"removed":[],
		"readers":[{"kind":"node","name":"n1","upserts":["Route/r1"],"removed":["Route/r2"]}]}`}})
	code, stdout, _ := run(t, twoDocs, "diff", "-f", "-")
	for _, want := range []string{"--- is/acme/Service/wiki", "-  pool: a\n", "+  pool: b\n"} {
		if code != 3 || !strings.Contains(stdout, want) {
			t.Errorf("diff: %d %s; want %q", code, stdout, want)
		}
	}
	code, stdout, stderr := run(t, twoDocs, "apply", "-f", "-", "--dry-run")
	for _, want := range []string{"+  pool: b\n", "node n1 receives 1, loses 1\n  + Route/r1\n  - Route/r2\n"} {
		if code != 0 || !strings.Contains(stdout, want) || !strings.Contains(stderr, "nothing was written") {
			t.Errorf("dry run: %d %s %s; want %q", code, stdout, stderr, want)
		}
	}
	api.answers[applyAt] = answer{200, "", `{"objects":[{"kind":"Service","name":"wiki"}],"removed":[]}`}
	if code, stdout, _ := run(t, twoDocs, "diff", "-f", "-"); code != 0 || stdout != "" {
		t.Errorf("no difference: %d %q", code, stdout)
	}
	if code, _, _ := run(t, twoDocs, "apply", "-f", "-", "--dry-run=client"); code != 2 {
		t.Errorf("dry run of a client: %d", code)
	}
}

// Without a control plane: what this program knows of kinds, with line and column.
func TestValidate(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for text, want := range map[string]string{
		twoDocs: "2 documents are valid",
		"apiVersion: warren/v1\nkind: Site\nmetadata: {name: s}\nspec:\n  pool: p\n  tunels: 2\n":                                                    "[6:3] spec.tunels: ",
		"apiVersion: warren/v1\nkind: Site\nmetadata: {name: s}\nspec:\n  pool: p\n  tunnels: many\n":                                                "[6:3] spec.tunnels: ",
		"apiVersion: warren/v1\nkind: Site\nmetadata: {name: s}\nspec:\n  tunnels: 2\n":                                                              "spec: expected required property pool",
		"apiVersion: warren/v1\nkind: Policy\nmetadata: {name: s}\nspec:\n  rules:\n  - action: allow\n  - action: maybe\n":                          "[7:5] spec.rules[1].action: ",
		"apiVersion: warren/v1\nkind: Target\nmetadata: {name: s}\nspec: {service: a, site: b, port: 1, health_check: {kind: tcp, intervall: 3s}}\n": "spec.health_check.intervall",
	} {
		code, _, stderr := run(t, text, "validate", "-f", "-")
		if (code == 0) != strings.Contains(want, "valid") || !strings.Contains(stderr, want) {
			t.Errorf("%s%d %s; want %q", text, code, stderr, want)
		}
	}
}

// An apply that was cut short, or that somebody else was faster with, left nothing to write. The nodes may
// still be behind.
func TestApplyWaitsForWhatIsUnchanged(t *testing.T) {
	api := newAPI(t, map[string]answer{
		applyAt:            {200, "=9", `{"objects":[{"kind":"Pool","name":"p"}],"removed":[]}`},
		"GET /api/v1/wait": {504, "", `{"title":"Gateway Timeout","status":504,"detail":"not yet applied by node n1"}`},
	})
	code, _, stderr := run(t, "apiVersion: warren/v1\nkind: Pool\nmetadata: {name: p}\n", "apply", "-f", "-", "--wait", "--timeout", "1ms")
	if code != 4 || !strings.Contains(stderr, "pool p unchanged") || !strings.Contains(stderr, "not yet applied by node n1") {
		t.Errorf("%d %s", code, stderr)
	}
	if want := "GET /api/v1/wait"; len(api.calls) < 2 || api.calls[1] != want {
		t.Errorf("calls %q", api.calls)
	}
}

// A mistake anywhere in the files means that nothing is sent.
func TestApplyRefusesBeforeItSends(t *testing.T) {
	api := newAPI(t, nil)
	good := "apiVersion: warren/v1\nkind: Pool\nmetadata: {name: p}\n---\n"
	for name, tc := range map[string]struct{ text, says string }{
		"unknown key":     {good + "apiVersion: warren/v1\nkind: Pool\nmetadata: {name: q}\nspce: {}\n", "[8:1]"},
		"unknown in meta": {good + "apiVersion: warren/v1\nkind: Pool\nmetadata: {nmae: q}\n", `unknown field "nmae"`},
		"kind":            {good + "apiVersion: warren/v1\nkind: Pol\nmetadata: {name: q}\n", `document 2: [6:1] kind "Pol"`},
		"version":         {good + "apiVersion: warren/v2\nkind: Pool\nmetadata: {name: q}\n", "apiVersion"},
		"no name":         {good + "apiVersion: warren/v1\nkind: Pool\n", "metadata.name is missing"},
		"twice":           {good + "apiVersion: warren/v1\nkind: Pool\nmetadata: {name: p}\n", "already"},
		"organization":    {"apiVersion: warren/v1\nkind: Pool\nmetadata: {name: p, organization: o}\n", "belongs to no organization"},
		"not YAML":        {"{", "document 1"},
		"empty":           {"# nothing\n", "no documents"},
		"read-only kind":  {"apiVersion: warren/v1\nkind: Certificate\nmetadata: {name: p}\n", "kind"},
	} {
		code, _, stderr := run(t, tc.text, "apply", "-f", "-")
		if code != 1 || !strings.Contains(stderr, tc.says) {
			t.Errorf("%s: %d %s; want %q", name, code, stderr, tc.says)
		}
	}
	if len(api.calls) != 0 {
		t.Errorf("sent %q", api.calls)
	}
}

func TestProblemNamesTheField(t *testing.T) {
	newAPI(t, map[string]answer{"POST /api/v1/orgs/default/sites": {422, "", `{"title":"Unprocessable Entity","status":422,"detail":"validation failed",
		"errors":[{"message":"does not exist","location":"body.pool"}],"request_id":"r1"}`}})
	code, _, stderr := run(t, "", "create", "site", "home", "--pool", "x", "--tunnels", "3")
	if code != 1 || !strings.Contains(stderr, "pool: does not exist") || !strings.Contains(stderr, "request r1") {
		t.Errorf("%d %s", code, stderr)
	}
}

// What has an inner object is written with one flag for each of its fields.
func TestCreateWithInnerFields(t *testing.T) {
	api := newAPI(t, map[string]answer{
		"POST /api/v1/orgs/default/targets":  {201, "3", `{}`},
		"POST /api/v1/orgs/default/services": {201, "2", `{}`},
	})
	for args, want := range map[string]string{
		"create service db --kind tcp --ports 6000-6010 --pool edge --allow 10.0.0.0/8,192.0.2.1/32 --proxy-protocol 2": `POST /api/v1/orgs/default/services ` +
			`{"name":"db","allow":["10.0.0.0/8","192.0.2.1/32"],"kind":"tcp","pool":"edge","ports":"6000-6010","proxy_protocol":2}`,
		"create service mail --kind tls --hostname m.example.org --pool edge --terminate": `POST /api/v1/orgs/default/services ` +
			`{"name":"mail","hostname":"m.example.org","kind":"tls","pool":"edge","terminate":true}`,
		"create target t --service s --site h --address a --port 1": `POST /api/v1/orgs/default/targets {"name":"t","address":"a","port":1,"service":"s","site":"h"}`,
		"create target t --service s --site h --address a --port 1 --health-check-kind http --health-check-path /up --health-check-headers X-A=1 --health-check-expected-statuses 200,204 --health-check-tls": `POST /api/v1/orgs/default/targets ` +
			`{"name":"t","address":"a","health_check":{"expected_statuses":["200","204"],"headers":{"X-A":"1"},"kind":"http","path":"/up","tls":true},"port":1,"service":"s","site":"h"}`,
	} {
		code, _, stderr := run(t, "", strings.Fields(args)...)
		if code != 0 || api.calls[len(api.calls)-1] != want {
			t.Errorf("%s: %d %s\n%s\nwant %s", args, code, stderr, api.calls[len(api.calls)-1], want)
		}
	}
}

func TestStatusShowsWhatCantServe(t *testing.T) {
	newAPI(t, map[string]answer{"GET /api/v1/status": {200, "", `{"revision":7,"nodes":[{"name":"n1","state":"up"}],"targets":{"healthy":3,"unhealthy":1,"unknown":0,
		"failing":[{"name":"wiki-1","service":"wiki","site":"home","reason":"status 500"}]}}`}})
	code, out, stderr := run(t, "", "status")
	if code != 0 || !strings.Contains(out, "checked targets: 3 healthy, 1 unhealthy") || !strings.Contains(out, "wiki-1            wiki     home  status 500") {
		t.Errorf("%d %s%s", code, out, stderr)
	}
}

func TestRejectionsAreShown(t *testing.T) {
	newAPI(t, map[string]answer{
		"GET /api/v1/status":          {200, "", `{"nodes":[{"name":"n1","id":"node_1","state":"up","rejected":42,"rejected_omitted":41}]}`},
		"GET /debug/snapshots/node_1": {200, "", `{"name":"n1","rejected_omitted":41,"resources":[]}`},
	})
	for _, args := range [][]string{{"status"}, {"snapshot", "node_1"}} {
		if code, out, stderr := run(t, "", args...); code != 0 || !strings.Contains(out, "41 more rejected, not listed") {
			t.Errorf("%v: %d %s%s", args, code, out, stderr)
		}
	}
}

func TestSettingsFile(t *testing.T) {
	api := newAPI(t, map[string]answer{"GET /api/v1/orgs/acme/sites": {200, "", `{"items":[]}`}})
	t.Setenv("WARREN_SERVER", "")
	t.Setenv("WARREN_API_KEY", "")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("api.key", "key\n")
	conf := write("c.yaml", "server: "+api.URL+"\napi_key_file: api.key\norganization: acme\n")
	if code, _, stderr := run(t, "", "--config", conf, "get", "sites"); code != 0 {
		t.Errorf("%d %s", code, stderr)
	}
	bad := write("bad.yaml", "server: x\nsevrer: y\n")
	if code, _, stderr := run(t, "", "--config", bad, "get", "sites"); code != 1 || !strings.Contains(stderr, "[2:1]") {
		t.Errorf("unknown key: %d %s", code, stderr)
	}
	two := write("two.yaml", "server: x\n---\nserver: y\n")
	if code, _, stderr := run(t, "", "--config", two, "get", "sites"); code != 1 || !strings.Contains(stderr, "two.yaml: line 2") {
		t.Errorf("two documents: %d %s", code, stderr)
	}
}

// A token goes into a file that others can't read.
func TestNodeJoin(t *testing.T) {
	api := newAPI(t, map[string]answer{
		"POST /api/v1/nodes":       {409, "", `{"title":"Conflict","status":409}`},
		"GET /api/v1/nodes/n1":     {200, "", `{"name":"n1","pool":"east"}`},
		"POST /api/v1/join-tokens": {201, "", `{"token":"wjt1.x.y","expires_at":"2026-11-24T12:00:00Z"}`},
	})
	file := filepath.Join(t.TempDir(), "token")
	if code, out, stderr := run(t, "", "node", "join", "n1", "--token-file", file); code != 0 || out != "" {
		t.Fatalf("%d %q %s", code, out, stderr)
	}
	fi, err := os.Stat(file)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	if want := `POST /api/v1/join-tokens {"node":"n1"}`; api.calls[len(api.calls)-1] != want {
		t.Errorf("calls %q", api.calls)
	}
}

// A token that takes the place of a file which everybody reads is not read by everybody.
func TestTokenFileThatIsThere(t *testing.T) {
	newAPI(t, map[string]answer{
		"POST /api/v1/nodes":       {201, "7", `{}`},
		"POST /api/v1/join-tokens": {201, "", `{"token":"wjt1.x.y","expires_at":"2026-11-24T12:00:00Z"}`},
	})
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("an old one, which is longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, "", "node", "join", "n1", "--token-file", file); code != 0 {
		t.Fatalf("%d %s", code, stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil || string(b) != "wjt1.x.y\n" {
		t.Errorf("%q %v", b, err)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	device := filepath.Join(dir, "device")
	if err := os.Symlink(os.DevNull, device); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, "", "node", "join", "n1", "--token-file", device); code != 1 || !strings.Contains(stderr, "no regular file") {
		t.Errorf("%d %s", code, stderr)
	}
}

// Joining does not move a node that is there: asking for another place is refused, and no token made.
func TestNodeJoinOfANodeThatIsThere(t *testing.T) {
	api := newAPI(t, map[string]answer{
		"POST /api/v1/nodes":        {409, "", `{"title":"Conflict","status":409}`},
		"GET /api/v1/nodes/n1":      {200, "", `{"name":"n1","pool":"east","region":"here"}`},
		"GET /api/v1/pools/pool_01": {200, "", `{"name":"east"}`},
		"POST /api/v1/join-tokens":  {201, "", `{"token":"wjt1.x.y","expires_at":"2026-11-24T12:00:00Z"}`},
	})
	for _, args := range [][]string{{}, {"--pool", "east"}, {"--pool", "pool_01"}, {"--pool", "east", "--region", "here"}} {
		if code, out, stderr := run(t, "", append([]string{"node", "join", "n1"}, args...)...); code != 0 || out != "wjt1.x.y\n" {
			t.Errorf("%v: %d %q %s", args, code, out, stderr)
		}
	}
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"--pool", "west"}, `in pool "east", not "west"`},
		{[]string{"--pool", "default"}, `in pool "east", not "default"`},
		{[]string{"--region", "there"}, `in region "here", not "there"`},
	} {
		api.calls = nil
		code, out, stderr := run(t, "", append([]string{"node", "join", "n1"}, tc.args...)...)
		if code != 1 || out != "" || !strings.Contains(stderr, tc.says) || slices.ContainsFunc(api.calls, func(c string) bool { return strings.Contains(c, "join-tokens") }) {
			t.Errorf("%v: %d %q %s %q", tc.args, code, out, stderr, api.calls)
		}
	}
}

// A connector that is there already joins its own site or none.
func TestSiteJoinOfAConnectorThatIsThere(t *testing.T) {
	api := newAPI(t, map[string]answer{
		"POST /api/v1/orgs/default/connectors":   {409, "", `{"title":"Conflict","status":409}`},
		"GET /api/v1/orgs/default/connectors/pi": {200, "", `{"name":"pi","site":"home"}`},
		"GET /api/v1/orgs/default/sites/site_1":  {200, "", `{"name":"home","id":"site_1"}`},
		"GET /api/v1/orgs/default/sites/site_2":  {200, "", `{"name":"office","id":"site_2"}`},
		"GET /api/v1/orgs/default/sites/office":  {200, "", `{"name":"office","id":"site_2"}`},
		"POST /api/v1/join-tokens":               {201, "", `{"token":"wjt1.x.y","expires_at":"2026-11-24T12:00:00Z"}`},
	})
	for _, site := range []string{"home", "site_1"} {
		if code, out, stderr := run(t, "", "site", "join", site, "pi"); code != 0 || out != "wjt1.x.y\n" {
			t.Errorf("%s: %d %q %s", site, code, out, stderr)
		}
	}
	for _, site := range []string{"office", "site_2"} {
		api.calls = nil
		code, out, stderr := run(t, "", "site", "join", site, "pi")
		if code != 1 || out != "" || !strings.Contains(stderr, "stands in site home, not office") || slices.ContainsFunc(api.calls, func(c string) bool { return strings.Contains(c, "join-tokens") }) {
			t.Errorf("%s: %d %q %s %q", site, code, out, stderr, api.calls)
		}
	}
}

// Every command explains itself.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{
		{}, {"up"}, {"status"}, {"get"}, {"create"}, {"create", "service"}, {"delete"}, {"apply"}, {"wait"}, {"snapshot"}, {"node"}, {"node", "join"}, {"node", "drain"}, {"node", "rotate-gossip-key", "x"}, {"site"}, {"site", "join"}, {"version"},
	} {
		code, out, stderr := run(t, "", append(args, "--help")...)
		if code != 0 || !strings.Contains(out, "Usage:") {
			t.Errorf("%v: %d %s%s", args, code, out, stderr)
		}
	}
}

func TestDrainWaits(t *testing.T) {
	f := newAPI(t, map[string]answer{
		"POST /api/v1/nodes/n1/drain":    {200, "8", `{}`},
		"POST /api/v1/nodes/n1/activate": {200, "9", `{}`},
		"GET /api/v1/wait":               {200, "", `{"revision":8,"applied":[{"kind":"node","id":"node_1","name":"n1"}]}`},
	})
	for _, tc := range []struct {
		args, says string
		calls      []string
	}{
		{"node drain n1 --wait", "revision 8 is applied by 1", []string{"POST /api/v1/nodes/n1/drain", "GET /api/v1/wait"}},
		{"node activate n1 --wait", "revision 9 is applied by 1", []string{"POST /api/v1/nodes/n1/activate", "GET /api/v1/wait"}},
		{"node undrain n1", "activate", []string{"POST /api/v1/nodes/n1/activate"}},
	} {
		f.calls = nil
		if code, _, said := run(t, "", strings.Fields(tc.args)...); code != 0 || !strings.Contains(said, tc.says) || !slices.Equal(f.calls, tc.calls) {
			t.Errorf("%s: %d, %q, %v", tc.args, code, said, f.calls)
		}
	}
}

func TestRotateGossipKey(t *testing.T) {
	const key = `{"id":"gossipkey_1","state":"%s"}`
	one := func(states ...string) string {
		var keys []string
		for _, s := range states {
			keys = append(keys, strings.Replace(key, "%s", s, 1))
		}
		return `{"items":[` + strings.Join(keys, ",") + `]}`
	}
	f := newAPI(t, map[string]answer{
		"POST /api/v1/gossip-keys/rotate": {200, "5", one("seals", "asked")},
		"GET /api/v1/gossip-keys":         {200, "", one("seals")},
	})
	if code, out, said := run(t, "", "node", "rotate-gossip-key", "--wait"); code != 0 || out != "" || !strings.Contains(said, "keys: seals, asked") || !strings.Contains(said, "keys: seals\n") {
		t.Errorf("%d %q %q", code, out, said)
	}
	f.answers["GET /api/v1/gossip-keys"] = answer{200, "", one("retired", "seals")}
	if code, _, said := run(t, "", "node", "rotate-gossip-key", "--wait", "--timeout", "600ms"); code != 4 || !strings.Contains(said, "goes on") {
		t.Errorf("%d %q", code, said)
	}
	if code, out, _ := run(t, "", "node", "rotate-gossip-key", "-o", "json"); code != 0 || !strings.Contains(out, `"state": "asked"`) {
		t.Errorf("%d %q", code, out)
	}
}

func TestStatusShowsTunnels(t *testing.T) {
	f := newAPI(t, map[string]answer{"GET /api/v1/status": {200, "", `{"revision":7,
		"nodes":[{"name":"n1","id":"node_1","state":"up","tunnel_states":[{"peer":"connector_1","up":true,"round_trip_ms":9,"carrier":"wireguard"},{"peer":"connector_2","up":true,"carrier":"stream"}]}],
		"connectors":[{"name":"pi","id":"connector_1","site":"home","state":"up","tunnel_states":[
			{"peer":"node_1","up":true,"round_trip_ms":12.345,"loss":0.025,"carrier":"stream","transport":"udp"},{"peer":"node_2","up":false}]},
			{"name":"nas","id":"connector_2","site":"home","state":"up","tunnel_states":[{"peer":"node_1","up":true,"round_trip_ms":1}]}]}`}})
	code, out, _ := run(t, "", "status")
	for _, want := range []string{
		"connector home/pi   n1      up     stream   udp        12.3 ms     2.5 %",
		"connector home/pi   node_2  down   -        -          -           -",
		"connector home/nas  n1      up     stream   -          1.0 ms      0.0 %",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != 0 || strings.Contains(out, "node n1 ") {
		t.Errorf("%d\n%s", code, out)
	}
	if _, out, _ := run(t, "", "status", "-o", "wide"); !strings.Contains(out, "node n1             pi      up     wireguard") {
		t.Errorf("wide:\n%s", out)
	}
	f.answers["GET /api/v1/status"] = answer{200, "", `{"connectors":[{"name":"pi","state":"up","tunnel_states":[{"peer":"node_1","up":true}]}]}`}
	if _, out, _ := run(t, "", "status"); strings.Contains(out, "ROUND TRIP") {
		t.Errorf("nothing is measured:\n%s", out)
	}
}

func TestHelpOfCreateIsEnglish(t *testing.T) {
	_, out, _ := run(t, "", "create", "--help")
	for _, want := range []string{"Make an organization", "Make a site", "Make an API key"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
}

func TestDomainCheck(t *testing.T) {
	f := newAPI(t, map[string]answer{
		"GET /api/v1/orgs/default/domains/shop.test/check": {200, "", `{"ok":false,"delegated":false,"problems":[{"code":"stale_ds","message":"remove the DS record"}],
			"warnings":[{"code":"missing_ns","message":"add NS records"}],"methods":{"www.shop.test":["dns-01"]},"aliases":{"www.shop.test":"www.mine.test"},
			"records":[{"name":"shop.test","type":"NS","value":"ns-n1.shop.test"}],"checked_at":"2026-01-01T00:00:00Z"}`},
		"GET /api/v1/orgs/default/domains/good.test/check": {200, "", `{"ok":true,"delegated":true,"problems":[],"warnings":[],"methods":{"good.test":["dns-01"]},
			"records":[{"name":"good.test","type":"NS","value":"ns-n1.good.test"}]}`},
	})
	code, out, said := run(t, "", "domain", "check", "shop.test")
	for _, want := range []string{"stale_ds", "remove the DS record", "missing_ns", "by dns-01, answered at www.mine.test", "ns-n1.shop.test"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	if code != exitNotReady || !strings.Contains(said, "at its registrar") {
		t.Errorf("%d, %q", code, said)
	}
	if code, out, _ := run(t, "", "domain", "check", "good.test"); code != 0 || !strings.Contains(out, "by dns-01") || strings.Contains(out, "ns-n1") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out, _ := run(t, "", "-o", "json", "domain", "check", "shop.test"); code != exitNotReady || !strings.Contains(out, `"code": "stale_ds"`) {
		t.Errorf("%d, %s", code, out)
	}
	if code, _, _ := run(t, "", "domain", "check", "nowhere.test"); code != exitFailed {
		t.Errorf("a domain that is not there: %d", code)
	}
	if len(f.calls) != 4 {
		t.Errorf("%v", f.calls)
	}
}
