package wgkey

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func newKey(t *testing.T) Private {
	t.Helper()
	k, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The keys of RFC 7748 §6.1.
func TestPublicKey(t *testing.T) {
	for private, public := range map[string]string{
		"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a": "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
		"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb": "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
	} {
		b, err := hex.DecodeString(private)
		if err != nil {
			t.Fatal(err)
		}
		k, err := PrivateFromBytes(b)
		if err != nil || k.Public().Hex() != public {
			t.Errorf("%s, %v, want %s", k.Public().Hex(), err, public)
		}
	}
}

func TestNeverPrints(t *testing.T) {
	k := newKey(t)
	type holder struct {
		Key    Private
		hidden Private
		ptr    *Private
	}
	h := holder{k, k, &k}
	var text, js bytes.Buffer
	for _, l := range []*slog.Logger{slog.New(slog.NewTextHandler(&text, nil)), slog.New(slog.NewJSONHandler(&js, nil))} {
		l.Info("key", "key", k, "holder", h, "ptr", &k, "map", map[string]Private{"k": k}, "list", []Private{k})
	}
	out := []string{text.String(), js.String(), fmt.Sprint(k), fmt.Sprintln(k, &k, h, &h)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%t", "%p", "%T"} {
		for _, v := range []any{k, &k, h, &h, []Private{k}, map[string]Private{"k": k}, struct{ k Private }{k}, []any{k}, errors.Join(fmt.Errorf("%v", k))} {
			out = append(out, fmt.Sprintf(verb, v))
		}
	}
	for _, v := range []any{k, &k, h, map[string]Private{"k": k}} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	b := k.Reveal()
	secrets := []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
		strings.Trim(fmt.Sprint(b), "[]"), fmt.Sprintf("% x", b), strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}"), strings.Trim(fmt.Sprintf("%o", b), "[]"),
		strings.Trim(fmt.Sprintf("%b", b), "[]"), strings.Trim(fmt.Sprintf("%U", b), "[]"), strings.Trim(fmt.Sprintf("%c", b), "[]"),
	}
	for _, o := range out {
		for _, s := range secrets {
			if strings.Contains(o, s) {
				t.Errorf("the key is in %q", o)
			}
		}
	}
}

func TestPrivate(t *testing.T) {
	k := newKey(t)
	if k.IsZero() || !(Private{}).IsZero() {
		t.Error("IsZero")
	}
	b := k.Reveal()
	if len(b) != Size || b[0]&7 != 0 || b[31]&0xc0 != 0x40 {
		t.Errorf("not clamped: %x … %x", b[0], b[31])
	}
	again, err := PrivateFromBytes(b)
	if err != nil || again.Public() != k.Public() || again.RevealHex() != k.RevealHex() || !bytes.Equal(again.Reveal(), b) {
		t.Errorf("does not come back: %v", err)
	}
	clear(b)
	if !bytes.Equal(again.Reveal(), k.Reveal()) || bytes.Equal(k.Reveal(), b) {
		t.Error("callers share the bytes")
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := PrivateFromBytes(make([]byte, n)); !errors.Is(err, ErrSize) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if _, err := PublicFromBytes(make([]byte, n)); !errors.Is(err, ErrSize) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestPublicText(t *testing.T) {
	p := newKey(t).Public()
	if p.IsZero() || !(Public{}).IsZero() {
		t.Error("IsZero")
	}
	b, err := json.Marshal(p)
	if err != nil || string(b) != `"`+p.String()+`"` {
		t.Errorf("marshalled %s, %v", b, err)
	}
	var again Public
	if err := json.Unmarshal(b, &again); err != nil || again != p {
		t.Errorf("unmarshalled %s, %v", again, err)
	}
	if h, err := hex.DecodeString(p.Hex()); err != nil || !bytes.Equal(h, p[:]) {
		t.Errorf("hex %s, %v", p.Hex(), err)
	}
	short := base64.StdEncoding.EncodeToString(make([]byte, 31))
	for _, s := range []string{"", "x", p.Hex(), short, p.String()[:43], p.String() + "=", " " + p.String(), p.String() + "\n", p.String()[:10] + "\r\n" + p.String()[10:], "*" + p.String()[1:]} {
		if got, err := ParsePublic(s); err == nil {
			t.Errorf("%q is read as %s", s, got)
		}
		kept := p
		if err := kept.UnmarshalText([]byte(s)); err == nil || kept != p {
			t.Errorf("%q changes the key to %s", s, kept)
		}
	}
}

func FuzzParsePublic(f *testing.F) {
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=")
	f.Add("AAAA\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePublic(s)
		if err == nil && p.String() != s {
			t.Errorf("%q is read as %s", s, p)
		}
		if err != nil && p != (Public{}) {
			t.Errorf("%q: an error and %s", s, p)
		}
	})
}
