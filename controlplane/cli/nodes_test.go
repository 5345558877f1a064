package cli

import (
	"strings"
	"testing"
)

// What a node should hold is compared line by line with what it holds, or with what it should have held before; where neither is
// known it is said so.
func TestNodeConfigDiff(t *testing.T) {
	newAPI(t, map[string]answer{
		"GET /debug/snapshots/n1": {200, "", `{"name":"n1","resources":[
			{"type":"Zone","name":"zone/a","status":"synced","desired":{"version":"zone-now"},"applied":{"version":"zone-now"},"content":{"zone":"a.example.org"}},
			{"type":"Route","name":"route/behind","status":"pending","desired":{"version":"behind-2","revision":9},"applied":{"version":"behind-1","revision":7},
				"content":{"hostname":"new.example.org","limit":1000000},"former":{"version":"behind-1","until_revision":9,"applied":true,"content":{"hostname":"old.example.org","limit":1000000}}},
			{"type":"Route","name":"route/refused","status":"rejected","reason":"no such pool","desired":{"version":"refused2","revision":9},
				"content":{"hostname":"b.example.org"},"former":{"version":"refused1","until_revision":8,"applied":false,"content":{"hostname":"a.example.org"}}},
			{"type":"Route","name":"route/forgotten","status":"pending","desired":{"version":"forgot-2","revision":9},"applied":{"version":"forgot-1","revision":1},"content":{"hostname":"c.example.org"}},
			{"type":"Route","name":"route/gone","status":"pending","applied":{"version":"gone-1","revision":7},"former":{"version":"gone-1","until_revision":9,"applied":true,"content":{"hostname":"gone.example.org"}}},
			{"type":"Route","name":"route/new","status":"pending","desired":{"version":"new-1","revision":9},"content":{"hostname":"d.example.org"}}]}`},
	})
	code, out, stderr := run(t, "", "node", "config", "n1", "--diff")
	for _, want := range []string{
		"--- is/route/behind\n+++ should-be/route/behind\n@@ -1,2 +1,2 @@\n-hostname: old.example.org\n+hostname: new.example.org\n limit: 1000000\n",
		"# no such pool\n# what it is only the node knows; until revision 8 it should have been refused1\ndiff was/route/refused should-be/route/refused\n",
		"-hostname: a.example.org\n+hostname: b.example.org\n",
		"# what it is was replaced too long ago: the control plane does not know it any more\nhostname: c.example.org\n",
		"-hostname: gone.example.org\n",
		"# should be new-1@9, is -: pending\nhostname: d.example.org\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
	if code != exitDiffers || strings.Contains(out, "zone/a") || t.Failed() {
		t.Errorf("exit %d\n%s%s", code, out, stderr)
	}
	code, out, stderr = run(t, "", "node", "config", "n1")
	if code != 0 || !strings.Contains(out, "zone: a.example.org") || strings.Contains(out, "old.example.org") {
		t.Errorf("all of it: exit %d\n%s%s", code, out, stderr)
	}
}
