package typedcode

import "testing"

func TestCodes(t *testing.T) {
	code := New()
	if len(code) != length || Canonical(code) != code || code == New() {
		t.Errorf("%q", code)
	}
	for typed, want := range map[string]string{"bcdf-ghjk": "BCDFGHJK", " BC DF ": "BCDF", "aeiou 0159": "", "": ""} {
		if got := Canonical(typed); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}
