package rest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A problem is said in a few kilobytes, whatever was sent.
func TestProblemsAreShort(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", maxBody/2)
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprintf(`"f%d":%d`, i, i)
	}
	for name, tc := range map[string]struct{ body, location string }{
		"value":            {`{"name":["` + long + `"],"pool":"default"}`, "body.name"},
		"text":             {`{"name":"` + long + `","pool":"default"}`, "body.name"},
		"whole body":       {`{"colour":"` + long + `"}`, "body"},
		"no JSON":          {`{"name":"` + long, "body"},
		"name of a field":  {`{"name":"s","pool":"default","` + long + `":1}`, ""},
		"field twice":      {`{"` + long + `":1,"` + long[:10] + `":1,"` + long[:10] + `":1}`, "body." + long[:10]},
		"reference":        {`{"name":"s","pool":"` + long + `"}`, "body.pool"},
		"number of fields": {`{` + strings.Join(many, ",") + `}`, ""},
	} {
		r := w.call("POST", org+"/sites", tc.body)
		if r.status/100 != 4 || len(r.body) > 10<<10 {
			t.Errorf("%s: %d, %d bytes", name, r.status, len(r.body))
		}
		if at := r.locations(t); tc.location != "" && !slices.Contains(at, tc.location) {
			t.Errorf("%s: names %.200q", name, at)
		}
	}
	r := w.call("POST", org+"/sites", `{"name":"`+long+`","pool":"default"}`)
	if want := fmt.Sprintf("xx… (cut, %d bytes)", len(long)); !strings.Contains(string(r.body), want) {
		t.Errorf("not marked as cut: %.1000s", r.body)
	}
	r = w.call("POST", org+"/sites", `{"name":"s","pool":"default","tunnels":"two"}`)
	if !strings.Contains(string(r.body), `"value":"two"`) {
		t.Errorf("a short value is not shown: %s", r.body)
	}
}

func TestCutLeavesWholeCharacters(t *testing.T) {
	for s, want := range map[string]string{"abc": "abc", "abcd": "abcd", "abcde": "abcd… (cut, 5 bytes)", "abcé!": "abc… (cut, 6 bytes)"} {
		if got := cut(s, 4); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
