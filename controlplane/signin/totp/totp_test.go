package totp

import (
	"bytes"
	"encoding/base32"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// The vectors of RFC 6238 appendix B for SHA-1, their last six digits.
func TestVectors(t *testing.T) {
	secret := []byte("12345678901234567890")
	for _, tc := range []struct {
		at   int64
		code string
	}{
		{59, "287082"}, {1111111109, "081804"}, {1111111111, "050471"}, {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"},
	} {
		step, ok := Verify(secret, tc.code, time.Unix(tc.at, 0), 0)
		if !ok || step != tc.at/30 {
			t.Errorf("%d: %d %v", tc.at, step, ok)
		}
	}
}

func TestVerify(t *testing.T) {
	secret, now := []byte("12345678901234567890"), time.Unix(1_800_000_010, 0) // not a random one: of some, two steps have the same code
	at := func(d time.Duration) string {
		c, err := totp.GenerateCode(Text(secret), now.Add(d))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	this := now.Unix() / 30
	for _, tc := range []struct {
		name, code string
		last       int64
		want       int64 // 0: refused
	}{
		{"now", at(0), 0, this},
		{"as some apps show it", " " + at(0)[:3] + " " + at(0)[3:], 0, this},
		{"a step ago", at(-30 * time.Second), 0, this - 1},
		{"a step ahead", at(30 * time.Second), 0, this + 1},
		{"two steps ago", at(-60 * time.Second), 0, 0},
		{"two steps ahead", at(60 * time.Second), 0, 0},
		{"used", at(0), this, 0},
		{"older than the one used", at(-30 * time.Second), this, 0},
		{"the one after", at(30 * time.Second), this, this + 1},
		{"nothing", "", 0, 0},
		{"short", at(0)[:5], 0, 0},
		{"long", at(0) + "0", 0, 0},
	} {
		step, ok := Verify(secret, tc.code, now, tc.last)
		if step != tc.want || ok != (tc.want != 0) {
			t.Errorf("%s: step %d, %v, want %d", tc.name, step-this, ok, tc.want-this)
		}
	}
	if _, ok := Verify([]byte("09876543210987654321"), at(0), now, 0); ok {
		t.Error("good for another secret")
	}
}

func TestURI(t *testing.T) {
	secret := NewSecret()
	u, err := url.Parse(URI(secret, "Warren control.example.org", "a+b@example.org"))
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Warren control.example.org:a+b@example.org" || u.Query().Get("issuer") != "Warren control.example.org" {
		t.Fatal(u, err)
	}
	if b, err := base32.StdEncoding.DecodeString(u.Query().Get("secret")); err != nil || !bytes.Equal(b, secret) {
		t.Error(err)
	}
}

func TestBackupCodes(t *testing.T) {
	codes, hashes := NewBackupCodes("user_1")
	seen := map[string]bool{}
	for i, c := range codes {
		if seen[c] || len(c) != 19 || IsCode(c) {
			t.Errorf("code %q", c)
		}
		seen[c] = true
		if !bytes.Equal(hashes[i], BackupHash("user_1", " "+strings.ToUpper(strings.ReplaceAll(c, "-", " "))+"\n")) {
			t.Errorf("%q is another one when typed otherwise", c)
		}
		if bytes.Equal(hashes[i], BackupHash("user_2", c)) || bytes.Equal(hashes[i], BackupHash("user_1", c[:18])) {
			t.Errorf("%q is good for others, or cut", c)
		}
	}
	if len(codes) != BackupCodes || !IsCode("123 456") || IsCode("12345") || IsCode("12345a") {
		t.Error(len(codes))
	}
}
