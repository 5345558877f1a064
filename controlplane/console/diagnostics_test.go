package console

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// Whoever runs the cluster has a replica look at what it stands on, and takes along what helps others to help him.
func TestDiagnostics(t *testing.T) {
	r := newRig(t)
	r.furnish()
	root, ann := r.browser(r.user("root@example.org", "cluster-admin", "", "")), r.browser(r.user("ann@example.org", "", "default", "owner"))
	if got := root.post("/console/cluster/diagnostics/check"); got.status != 503 {
		t.Errorf("there is nobody who looks: %d", got.status)
	}
	r.con.Diagnose = func(context.Context) []Check {
		return []Check{{"the database answers", "ok", "", ""}, {"mail goes out", "failed", "the mail server is asleep", "look at mail of the settings"}}
	}
	got := root.post("/console/cluster/diagnostics/check")
	for _, want := range []string{"the database answers", "the mail server is asleep", "look at mail of the settings", "at=%2Fconsole%2Fcluster%2Fdiagnostics\""} {
		if got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%d, no %q: %s", got.status, want, got.body)
		}
	}
	if got := ann.get("/console/cluster/diagnostics/report"); got.status != 403 {
		t.Errorf("an owner of an organization takes it along: %d", got.status)
	}
	got = root.get("/console/cluster/diagnostics/report")
	if got.header.Get("Content-Type") != "application/gzip" || !strings.Contains(got.header.Get("Content-Disposition"), "warren-report-") {
		t.Fatalf("%d %v", got.status, got.header)
	}
	z, err := gzip.NewReader(strings.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]string{"connected.json": r.nodeID("edge-1"), "checks.json": "asleep", "broken_services.json": "it answers 503", "readers.json": r.connectorID("pi"), "about.json": "revision"}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		name := strings.TrimPrefix(h.Name, "warren-report/")
		if err != nil || !json.Valid(text) || !strings.Contains(string(text), has[name]) {
			t.Errorf("%s: %v, no %q: %s", name, err, has[name], text)
		}
		delete(has, name)
	}
	if len(has) > 0 {
		t.Errorf("not in it: %v", has)
	}
}
