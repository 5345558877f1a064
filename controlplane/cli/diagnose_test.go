package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/netcheck"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/porttest"
)

// healthy is what the control plane says of a way on which all is well, but for one hop.
func way(hop, state, reason string) string {
	var hops []string
	broken := `"state":"healthy"`
	for _, h := range hopNames {
		part := `{"kind":"x","name":"` + h + `","state":"healthy"}`
		is := "healthy"
		if h == hop {
			is = state
			part = `{"kind":"x","name":"` + h + `","state":"` + state + `","reason":"` + reason + `"}`
			broken = `"state":"` + state + `","broken":"` + hop + `","reason":"` + reason + `","advice":"do something"`
		}
		hops = append(hops, `{"name":"`+h+`","state":"`+is+`","parts":[`+part+`]}`)
	}
	return `{` + broken + `,"hops":[` + strings.Join(hops, ",") + `]}`
}

const status = `{"revision":7,"database":{"ok":true},"presence_shared":true,"nodes":[{"name":"n1","id":"node_1","state":"up","applied_revision":7,"tunnels":1,"tunnels_up":1}],
	"connectors":[{"name":"box","id":"connector_1","site":"home","state":"up","tunnels":1,"tunnels_up":1,"tunnel_states":[{"peer":"node_1","up":true,"round_trip_ms":3.5,"transport":"udp"}]}]}`

// edgeOf is a node of the API that is a server here.
func edgeOf(srv *httptest.Server) string { return edgeAt(srv.Listener.Addr().String()) }

func edgeAt(address string) string {
	return `{"name":"n1","pool":"default","enrolled":true,"addresses":["127.0.0.1"],"stream_endpoint":"` + address + `"}`
}

func TestPingNamesTheBrokenHop(t *testing.T) {
	answer502 := http.StatusOK
	node := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(answer502) }))
	t.Cleanup(node.Close)
	there, gone := node.Listener.Addr().String(), porttest.Address(t)
	for _, tt := range []struct {
		name   string
		args   string
		node   string // where it listens
		health string
		status int // of the target
		says   []string
		broken string
	}{
		{"a certificate of a stranger", "ping wiki", there, way("", "", ""), 200, []string{"tls", "node n1 at 127.0.0.1:"}, "tls"},
		{"a target at ports", "ping db", there, way("target", "down", "refused"), 200, []string{"refused"}, "target"},
		{"no node", "ping db", gone, way("target", "down", "refused"), 200, []string{"connection refused"}, "node"},
		{"a site without tunnels", "ping site/home", there, way("tunnel", "down", "no connector"), 200, []string{"no connector", "connector box to node n1", "3.5ms"}, "tunnel"},
		{"a site", "ping site/home", there, way("", "", ""), 200, nil, ""},
		{"a node", "ping node/n1", there, way("", "", ""), 200, []string{"TLS port", "1 of 1 tunnels up"}, ""},
		{"a node that is gone", "ping node/n1", gone, way("", "", ""), 200, nil, "node"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			port := tt.node[strings.LastIndexByte(tt.node, ':')+1:]
			newAPI(t, map[string]answer{
				"GET /api/v1/orgs/default/services/wiki":        {200, "", `{"name":"wiki","kind":"tls","terminate":true,"hostname":"wiki.localhost","pool":"default"}`},
				"GET /api/v1/orgs/default/services/wiki/health": {200, "", tt.health},
				"GET /api/v1/orgs/default/services/db":          {200, "", `{"name":"db","kind":"tcp","ports":"` + port + `","pool":"default"}`},
				"GET /api/v1/orgs/default/services/db/health":   {200, "", tt.health},
				"GET /api/v1/orgs/default/sites/home/health":    {200, "", tt.health},
				"GET /api/v1/orgs/default/domains":              {200, "", `{"items":[]}`},
				"GET /api/v1/nodes":                             {200, "", `{"items":[` + edgeAt(tt.node) + `]}`},
				"GET /api/v1/nodes/n1":                          {200, "", edgeAt(tt.node)},
				"GET /api/v1/authorities":                       {200, "", `{"items":[]}`},
				"GET /api/v1/status":                            {200, "", status},
			})
			code, out, errw := run(t, "", strings.Fields(tt.args)...)
			if tt.name == "a certificate of a stranger" { // nothing here answers for the name in the DNS
				var j journey
				_, text, _ := run(t, "", "ping", "wiki", "-o", "json")
				if err := json.Unmarshal([]byte(text), &j); err != nil {
					t.Fatal(err)
				}
				for _, s := range j.Steps {
					if s.Hop == "tls" && s.State != "failed" {
						t.Errorf("%+v", s)
					}
				}
			} else if want := map[bool]int{true: 1, false: 0}[tt.broken != ""]; code != want || tt.broken != "" && !strings.Contains(errw, `broken at the hop "`+tt.broken+`"`) {
				t.Errorf("exit %d, %s%s", code, out, errw)
			}
			for _, s := range tt.says {
				if !strings.Contains(out, s) {
					t.Errorf("%q is not in\n%s", s, out)
				}
			}
		})
	}
}

func TestNetcheck(t *testing.T) {
	node := httptest.NewTLSServer(nil)
	t.Cleanup(node.Close)
	newAPI(t, map[string]answer{"GET /api/v1/nodes": {200, "", `{"items":[` + edgeOf(node) + `,{"name":"n2","addresses":["127.0.0.1"],"enrolled":false}]}`}})
	code, out, _ := run(t, "", "netcheck", "-o", "json")
	var n network
	if err := json.Unmarshal([]byte(out), &n); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s", code, err, out)
	}
	if n.IPv4 != "ok" || n.IPv6 != "not tried" || n.Best != "n1" || len(n.Nodes) != 1 || n.Nodes[0].RoundTrip <= 0 || n.Nodes[0].TCP != "ok" || n.Nodes[0].UDP != notAsked || !n.UDP {
		t.Errorf("%+v", n)
	}
	if code, _, errw := run(t, "", "netcheck", "home"); code != 2 || !strings.Contains(errw, "is no address") {
		t.Errorf("exit %d, %s", code, errw)
	}
	n = network{IPv4: "not tried", IPv6: "not tried", Nodes: []reached{
		{Node: "a", Address: "192.0.2.1:443", TCP: "ok", RoundTrip: 20, UDP: netcheck.ErrSilent.Error(), MTU: 1500},
		{Node: "b", Address: "192.0.2.2:443", TCP: "ok", RoundTrip: 10, UDP: "ok", MTU: 1420},
		{Node: "b", Address: "[2001:db8::2]:443", TCP: netcheck.ErrNoWay.Error()},
	}}
	if n.sum(); n.IPv4 != "ok" || n.IPv6 != "failed" || n.Best != "b" || n.MTU != 1420 || !n.UDP || !n.TCP {
		t.Errorf("%+v", n)
	}
}

// doctors are the answers of a cluster in which some things are wrong.
func doctors(node string) map[string]answer {
	return map[string]answer{
		"GET /readyz":                                        {200, "", `{}`},
		"GET /api/v1/status":                                 {200, "", strings.Replace(status, `"presence_shared":true`, `"presence_shared":false`, 1)},
		"GET /api/v1/diagnosis":                              {200, "", `{"items":[{"name":"migrations","state":"ok"},{"name":"mail","state":"failed","cause":"no route","fix":"look"}]}`},
		"GET /api/v1/nodes":                                  {200, "", `{"items":[` + node + `]}`},
		"GET /api/v1/orgs/default/sites":                     {200, "", `{"items":[{"name":"home","health":{"state":"healthy"}}]}`},
		"GET /api/v1/orgs/default/services":                  {200, "", `{"items":[{"name":"wiki","health":{"state":"down","hop":"target","reason":"refused"}},{"name":"db","health":{"state":"degraded","hop":"node","reason":"n2"}}]}`},
		"GET /api/v1/orgs/default/services/wiki/health":      {200, "", way("target", "down", "refused")},
		"GET /api/v1/orgs/default/domains":                   {200, "", `{"items":[{"name":"example.org"}]}`},
		"GET /api/v1/orgs/default/domains/example.org/check": {200, "", `{"ok":false,"problems":[{"code":"x","message":"no delegation"}]}`},
		"GET /api/v1/orgs/default/managed-certificates":      {403, "", `{"title":"Forbidden","status":403}`},
	}
}

func TestDoctor(t *testing.T) {
	node := httptest.NewTLSServer(nil)
	t.Cleanup(node.Close)
	newAPI(t, doctors(edgeOf(node)))
	code, out, errw := run(t, "", "doctor", "-o", "json")
	var all []finding
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 1 {
		t.Fatalf("exit %d, %v: %s%s", code, err, out, errw)
	}
	got := map[string]string{}
	for _, f := range all {
		got[f.Category+": "+f.Name] = f.State
		if (f.State == "failed" || f.State == "warning") && (f.Cause == "" || f.See == "") {
			t.Errorf("nothing to go by: %+v", f)
		}
	}
	for name, want := range map[string]string{
		"settings: the command line knows the control plane": "ok", "control plane: it answers": "ok", "control plane: its replicas hear each other": "failed",
		"control plane: migrations": "ok", "control plane: mail": "failed", "nodes: node n1": "ok", "nodes: connector home/box": "ok", "sites: 1 of 1 sites are well": "ok",
		"services: service wiki": "failed", "services: service db": "warning", "domains: domain example.org": "failed", "certificates: certificates": "skipped",
		"network: node n1 at " + node.Listener.Addr().String(): "ok",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if code, out, _ := run(t, "", "doctor"); code != 1 || !strings.Contains(out, "× service wiki\n    target: refused\n    fix: do something\n    see: ") {
		t.Errorf("exit %d\n%s", code, out)
	}
	t.Setenv("WARREN_SERVER", "http://127.0.0.1:1")
	if code, out, _ := run(t, "", "doctor"); code != 1 || strings.Count(out, "×") != 1 || !strings.Contains(out, "× it answers") {
		t.Errorf("without a control plane: exit %d\n%s", code, out)
	}
	t.Setenv("WARREN_SERVER", "")
	if code, out, _ := run(t, "", "doctor"); code != 1 || !strings.Contains(out, "no control plane") {
		t.Errorf("without settings: exit %d\n%s", code, out)
	}
}

func TestDoctorBeforeANode(t *testing.T) {
	_, out, _ := run(t, "", "doctor", "--pre", "-o", "json")
	var all []finding
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) < 5 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, f := range all {
		if f.Category != "this machine" || f.State == "failed" && f.Fix == "" {
			t.Errorf("%+v", f)
		}
	}
}

// However many checks hang, all of them together end in time, and say so.
func TestDoctorEndsInTime(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), doctorTime)
		defer cancel()
		hangs := check{"nodes", func(ctx context.Context) ([]finding, error) { <-ctx.Done(); return nil, ctx.Err() }}
		begun := time.Now()
		found := runChecks(ctx, slices.Repeat([]check{hangs}, 3*doctorAtOnce))
		if took := time.Since(begun); took != doctorTime || doctorTime > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		if len(found) != 3*doctorAtOnce || found[0].State != "warning" || !strings.Contains(found[0].Cause, "no time left") {
			t.Errorf("%d found, %+v", len(found), found[0])
		}
	})
}

// Secrets that somebody quotes do not get into a report, wherever they come from.
func TestBugreportHasNoSecret(t *testing.T) {
	node := httptest.NewTLSServer(nil)
	t.Cleanup(node.Close)
	const pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJzUDrnGkNDBnHjRoRpH3Cq0s2RVcVYaMGkM7ZDJTv4T\n-----END PRIVATE KEY-----\n"
	texts := map[string]string{
		"key": "wrn_key_01m8cvb5b0fc2tkc0mvtqzd9zgabcdef", "webhook": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "bearer": "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIx",
		"password": "hunter2hunter2", "pem": "MC4CAQAwBQYDK2VwBCIEIJzUDrnGkNDBnHjRoRpH3Cq0s2RVcVYaMGkM7ZDJTv4T", "setting": "correct-horse-battery",
	}
	quoted := "key " + texts["key"] + " " + texts["webhook"] + "\nAuthorization: Bearer " + texts["bearer"] + "\npostgres://warren:" + texts["password"] + "@db/warren\n" + pem + "\npassword=" + texts["setting"] + "\n"
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, quoted+"cp_up 1\n") }))
	t.Cleanup(metrics.Close)
	all := doctors(edgeOf(node))
	said, err := json.Marshal(map[string]string{"title": "No", "detail": quoted})
	if err != nil {
		t.Fatal(err)
	}
	all["GET /debug/snapshots"] = answer{500, "", string(said)}
	all["GET /debug/snapshots/n1"] = answer{200, "", `{"name":"n1","resources":[]}`}
	newAPI(t, all)
	file := filepath.Join(t.TempDir(), "report.tar.gz")
	if code, _, errw := run(t, "", "bugreport", "-f", file, "--metrics", metrics.URL+"/metrics"); code != 0 {
		t.Fatalf("exit %d: %s", code, errw)
	}
	files := unpack(t, file)
	for _, name := range []string{"version.json", "status.json", "doctor.json", "netcheck.json", "services.json", "snapshots/n1.json", "metrics/1.txt", "profiles/1-goroutines.txt", "profiles/1-heap.txt", "profiles/1-trace.out", "errors.txt"} {
		if len(files["warren-bugreport/"+name]) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	if !bytes.Contains(files["warren-bugreport/metrics/1.txt"], []byte("cp_up 1")) {
		t.Error("what is no secret is gone, too")
	}
	for name, text := range files {
		for secret, is := range texts {
			if bytes.Contains(text, []byte(is)) {
				t.Errorf("%s holds the %s", name, secret)
			}
		}
	}
	if code, _, _ := run(t, "", "bugreport", "-f", file); code != 1 {
		t.Error("a file that is there was written over")
	}
}

func unpack(t *testing.T, file string) map[string][]byte {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if out[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// What checks point at is there.
func TestWhereToReadMoreIsThere(t *testing.T) {
	for category, text := range see {
		for link := range strings.SplitSeq(text, "; ") {
			at, ok := strings.CutPrefix(link, docs)
			if !ok {
				continue
			}
			file, anchor, _ := strings.Cut(at, "#")
			b, err := os.ReadFile(filepath.Join("..", "..", file))
			if err != nil {
				t.Fatal(err)
			}
			if heading := "\n## " + strings.ReplaceAll(anchor, "-", " ") + "\n"; anchor != "" && !strings.Contains(strings.ToLower(string(b)), heading) {
				t.Errorf("%s: %s has no heading for %q", category, file, anchor)
			}
		}
	}
}
