package audit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"
)

func chainOf(n int) []*Entry {
	var out []*Entry
	var before Hash
	for i := range n {
		e := &Entry{Seq: uint64(i + 1), At: time.UnixMicro(int64(i) * 1_000_001).UTC(), Actor: "user:x", Action: "site.create", Result: Done}
		e.Hash = e.Sum(before)
		before = e.Hash
		out = append(out, e)
	}
	return out
}

func verify(entries []*Entry, heads ...Head) error {
	var v Verifier
	for _, h := range heads {
		if err := v.Expect(h); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if err := v.Next(e); err != nil {
			return err
		}
	}
	return v.Finish()
}

func TestVerifier(t *testing.T) {
	head := Head{Seq: 4, Hash: chainOf(4)[3].Hash}
	for name, tc := range map[string]struct {
		change func(e []*Entry) []*Entry
		want   string
	}{
		"whole":     {func(e []*Entry) []*Entry { return e }, ""},
		"edited":    {func(e []*Entry) []*Entry { e[1].Detail = "x"; return e }, "entry 2 was changed"},
		"hash":      {func(e []*Entry) []*Entry { e[1].Hash[0] ^= 1; return e }, "entry 2 was changed"},
		"removed":   {func(e []*Entry) []*Entry { return append(e[:1], e[2:]...) }, "missing"},
		"swapped":   {func(e []*Entry) []*Entry { e[1], e[2] = e[2], e[1]; return e }, "missing"},
		"twice":     {func(e []*Entry) []*Entry { return append(e[:2], e[1:]...) }, "there twice"},
		"truncated": {func(e []*Entry) []*Entry { return e[:3] }, "cut off"},
		"no start":  {func(e []*Entry) []*Entry { return e[1:] }, "missing"},
		"another log": {func(e []*Entry) []*Entry {
			e[0].Actor = "user:y"
			var before Hash
			for _, v := range e {
				v.Hash = v.Sum(before)
				before = v.Hash
			}
			return e
		}, "written anew"},
	} {
		err := verify(tc.change(chainOf(6)), head)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if err := verify(nil, head, Head{Seq: 4}); err == nil || !strings.Contains(err.Error(), "two heads") {
		t.Errorf("two heads: %v", err)
	}
}

// No two entries look the same to the hash because a field ends where another begins.
func TestSumKeepsFieldsApart(t *testing.T) {
	a, b := Entry{Actor: "ab", ActorName: "c"}, Entry{Actor: "a", ActorName: "bc"}
	if a.Sum(Hash{}) == b.Sum(Hash{}) {
		t.Error("the same hash")
	}
}

func TestAnchor(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := Anchor{Head: Head{Seq: 7, At: time.UnixMicro(8).UTC()}, Cluster: "c"}
	sum := sha256.Sum256(a.Message())
	if a.Signature, err = ecdsa.SignASN1(rand.Reader, key, sum[:]); err != nil {
		t.Fatal(err)
	}
	line, err := json.Marshal(Line{Anchor: &a})
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseLine(line)
	if err != nil || read.Anchor.Verify(cert) != nil {
		t.Errorf("%s: %v, %v", line, err, read.Anchor.Verify(cert))
	}
	for name, change := range map[string]func(*Anchor){
		"seq": func(a *Anchor) { a.Seq++ }, "hash": func(a *Anchor) { a.Hash[0]++ }, "time": func(a *Anchor) { a.At = a.At.Add(time.Second) },
		"cluster": func(a *Anchor) { a.Cluster = "d" }, "signature": func(a *Anchor) { a.Signature = a.Signature[1:] },
	} {
		other := a
		change(&other)
		if other.Verify(cert) == nil {
			t.Errorf("another %s passes", name)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"entry":{"seq":1,"hash":"00"}}`))
	f.Add([]byte(`{"anchor":{"seq":1}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseLine(b); err == nil && (l.Entry == nil) == (l.Anchor == nil) {
			t.Errorf("%q is neither an entry nor an anchor", b)
		}
	})
}
