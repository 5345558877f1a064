package jointoken

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

var print = hex.EncodeToString(sha256.New().Sum(nil))

func TestRoundTrip(t *testing.T) {
	a := New(print)
	b, err := Parse(" " + a.Reveal() + "\n")
	if err != nil || !bytes.Equal(a.Hash(), b.Hash()) || b.Fingerprint() != print {
		t.Errorf("%v, %v", b, err)
	}
	if bytes.Equal(a.Hash(), New(print).Hash()) {
		t.Error("two tokens are alike")
	}
	if s := fmt.Sprintf("%v %+v %#v %s", a, a, a, a); strings.Contains(s, a.Reveal()[5:20]) {
		t.Errorf("shows its secret: %s", s)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New(print).Reveal())
	f.Add("wjt1..")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		tok, err := Parse(s)
		if err == nil && tok.Reveal() != strings.TrimSpace(s) {
			t.Errorf("%q has a second spelling", s)
		}
	})
}
