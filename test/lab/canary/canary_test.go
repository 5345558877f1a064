package canary

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// Whatever form a secret is written in, it is found; without it nothing is.
func TestFormsAreFound(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := ec.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(k any) (der, text []byte) {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return der, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	der, ecPEM := encode(ec)
	_, rsaPEM := encode(rs)
	symmetric := make([]byte, 32)
	_, _ = rand.Read(symmetric)
	const token = "wrn_key_0123_abcdefghijklmnop"
	var secrets []Secret
	for name, b := range map[string][]byte{"ec": ecPEM, "rsa": rsaPEM} {
		s, err := Key(name, b)
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, s)
	}
	secrets = append(secrets, Bytes("symmetric", symmetric), Text("token", token))
	escaped, _ := json.Marshal(map[string]string{"key": string(ecPEM)})
	for i, tc := range []struct{ secret, text string }{
		{"ec", string(ecPEM)},
		{"ec", "\t" + strings.ReplaceAll(string(ecPEM), "\n", "\n\t")},
		{"ec", string(escaped)},
		{"ec", string(der)},
		{"ec", string(sec1)},
		{"ec", fmt.Sprintf(`\x%x`, der)},
		{"ec", strings.ToUpper(hex.EncodeToString(scalar))},
		{"ec", base64.StdEncoding.EncodeToString(scalar)},
		{"ec", base64.RawURLEncoding.EncodeToString(append([]byte{1}, append(scalar, 2, 3)...))},
		{"ec", base64.RawURLEncoding.EncodeToString(append([]byte{1, 2}, append(scalar, 2)...))},
		{"rsa", string(rsaPEM)},
		{"rsa", rs.Primes[0].Text(16)},
		{"rsa", base64.RawURLEncoding.EncodeToString(rs.D.Bytes())},
		{"symmetric", string(symmetric)},
		{"symmetric", hex.EncodeToString(symmetric)},
		{"symmetric", "k=" + base64.StdEncoding.EncodeToString(symmetric)},
		{"token", "Bearer " + token + "\n"},
		{"token", "abcdefghijklmnop"},
	} {
		if got := Find(secrets, []byte("before "+tc.text+" after")); len(got) != 1 || got[0] != tc.secret {
			t.Errorf("%d: found %v, want %s", i, got, tc.secret)
		}
	}
	public, _ := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	if got := Find(secrets, []byte(base64.StdEncoding.EncodeToString(public)+hex.EncodeToString(public)+"wrn_key_0123_")); len(got) != 0 {
		t.Errorf("found %v in what is public", got)
	}
}
