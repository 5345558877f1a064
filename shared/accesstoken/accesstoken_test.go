package accesstoken

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	cluster = "cluster-1"
	host    = "wiki.example"
	secret  = "secret of the browser"
	kid     = "key-1"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func claims() *Claims {
	return &Claims{Issuer: cluster, Audience: host, Subject: "user_1", Session: "session_1", Org: "org_1", Email: "a@example.org", Name: "Ä", Groups: []string{"g"},
		Issued: At(noon), Expires: At(noon.Add(Life)), Binding: Binding(secret)}
}

func pair(t testing.TB) (ed25519.PrivateKey, map[string]ed25519.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return private, map[string]ed25519.PublicKey{kid: public}
}

func signed(t testing.TB, key ed25519.PrivateKey, c *Claims) string {
	t.Helper()
	s, err := Sign(key, kid, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// whole is all that a node asks of a token.
func whole(token string, keys map[string]ed25519.PublicKey, host, secret string, now time.Time) error {
	c, err := Verify(token, keys)
	if err != nil {
		return err
	}
	return c.Check(cluster, host, secret, now)
}

func TestT33_WhatIsNotExactlyTheTokenIsRefused(t *testing.T) {
	key, keys := pair(t)
	token := signed(t, key, claims())
	if err := whole(token, keys, host, secret, noon); err != nil {
		t.Fatal(err)
	}
	for i := range token {
		if whole(token[:i], keys, host, secret, noon) == nil {
			t.Fatalf("good although cut to %d bytes", i)
		}
		for _, bit := range []byte{1, 2, 4, 8, 16, 32, 64, 128} {
			b := []byte(token)
			b[i] ^= bit
			if whole(string(b), keys, host, secret, noon) == nil {
				t.Fatalf("good with byte %d changed from %q to %q", i, token[i], b[i])
			}
		}
	}
	for _, more := range []string{"=", "A", ".", "." + token, "\n", " "} {
		if whole(token+more, keys, host, secret, noon) == nil || whole(more+token, keys, host, secret, noon) == nil {
			t.Errorf("good with %q", more)
		}
	}
}

func TestT33_WhatATokenIsGoodFor(t *testing.T) {
	key, keys := pair(t)
	other, others := pair(t)
	change := func(f func(*Claims)) string {
		c := claims()
		f(c)
		return signed(t, key, c)
	}
	for _, tt := range []struct {
		name         string
		token        string
		keys         map[string]ed25519.PublicKey
		host, secret string
		at           time.Duration
		good         bool
	}{
		{"good", signed(t, key, claims()), keys, host, secret, 0, true},
		{"at its end", signed(t, key, claims()), keys, host, secret, Life - 1, true},
		{"expired", signed(t, key, claims()), keys, host, secret, Life, false},
		{"of a clock that is ahead", signed(t, key, claims()), keys, host, secret, -Skew, true},
		{"of the future", signed(t, key, claims()), keys, host, secret, -Skew - time.Second, false},
		{"other host", signed(t, key, claims()), keys, "other.example", secret, 0, false},
		{"other browser", signed(t, key, claims()), keys, host, "another", 0, false},
		{"no browser", signed(t, key, claims()), keys, host, "", 0, false},
		{"other cluster", change(func(c *Claims) { c.Issuer = "cluster-2" }), keys, host, secret, 0, false},
		{"other key of the same name", signed(t, other, claims()), keys, host, secret, 0, false},
		{"key of another cluster", signed(t, key, claims()), others, host, secret, 0, false},
		{"no keys", signed(t, key, claims()), nil, host, secret, 0, false},
		{"good for a day", change(func(c *Claims) { c.Expires = At(noon.AddDate(0, 0, 1)) }), keys, host, secret, 0, false},
		{"never good", change(func(c *Claims) { c.Expires = c.Issued }), keys, host, secret, 0, false},
		{"of nobody", change(func(c *Claims) { c.Subject = "" }), keys, host, secret, 0, false},
		{"of no session", change(func(c *Claims) { c.Session = "" }), keys, host, secret, 0, false},
	} {
		err := whole(tt.token, tt.keys, tt.host, tt.secret, noon.Add(tt.at))
		if (err == nil) != tt.good || err != nil && !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Tokens that some library would take: other algorithms, keys in the token, other kinds.
func TestT33_OtherFormsAreRefused(t *testing.T) {
	key, keys := pair(t)
	body, err := json.Marshal(claims())
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	public := keys[kid]
	with := func(head string, sign func(in string) []byte) string {
		in := b64([]byte(head)) + "." + b64(body)
		return in + "." + b64(sign(in))
	}
	ed := func(in string) []byte { return ed25519.Sign(key, []byte(in)) }
	mac := func(in string) []byte {
		m := hmac.New(sha256.New, public)
		m.Write([]byte(in))
		return m.Sum(nil)
	}
	jwk, err := (&jose.JSONWebKey{Key: public, KeyID: kid}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	good := fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":%q}`, kid, Type)
	if err := whole(with(good, ed), keys, host, secret, noon); err != nil {
		t.Fatalf("made by hand: %v", err)
	}
	for name, token := range map[string]string{
		"none":              with(fmt.Sprintf(`{"alg":"none","kid":%q,"typ":%q}`, kid, Type), func(string) []byte { return nil }),
		"NONE":              with(fmt.Sprintf(`{"alg":"None","kid":%q,"typ":%q}`, kid, Type), func(string) []byte { return nil }),
		"HS256":             with(fmt.Sprintf(`{"alg":"HS256","kid":%q,"typ":%q}`, kid, Type), mac),
		"typ JWT":           with(fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"JWT"}`, kid), ed),
		"no typ":            with(fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, kid), ed),
		"typ in upper case": with(fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":%q}`, kid, strings.ToUpper(Type)), ed),
		"no kid":            with(fmt.Sprintf(`{"alg":"EdDSA","typ":%q}`, Type), ed),
		"kid is a path":     with(fmt.Sprintf(`{"alg":"EdDSA","kid":"../../dev/null","typ":%q}`, Type), ed),
		"key in the token":  with(fmt.Sprintf(`{"alg":"EdDSA","kid":"x","jwk":%s,"typ":%q}`, jwk, Type), ed),
		"crit":              with(fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":%q,"crit":["exp"],"exp":1}`, kid, Type), ed),
		"no signature":      with(good, func(string) []byte { return nil }),
		"short signature":   with(good, func(in string) []byte { return ed(in)[:63] }),
		"long signature":    with(good, func(in string) []byte { return append(ed(in), 0) }),
		"JSON form":         `{"payload":"` + b64(body) + `","protected":"` + b64([]byte(good)) + `","signature":"` + b64(ed(b64([]byte(good))+"."+b64(body))) + `"}`,
		"dots":              strings.Repeat(".", 3000),
		"too long":          strings.Repeat("a", MaxSize+1),
		"empty":             "",
	} {
		if err := whole(token, keys, host, secret, noon); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a target does: a stock library, with the public keys.
func TestAStockLibraryVerifies(t *testing.T) {
	key, keys := pair(t)
	raw, err := KeySet(keys)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseSigned(signed(t, key, claims()), []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var std jwt.Claims
	var own struct {
		Email  string   `json:"email"`
		Groups []string `json:"groups"`
	}
	if err := token.Claims(set, &std, &own); err != nil {
		t.Fatal(err)
	}
	if err := std.ValidateWithLeeway(jwt.Expected{Issuer: cluster, AnyAudience: jwt.Audience{host}, Time: noon}, 0); err != nil {
		t.Error(err)
	}
	if std.Subject != "user_1" || own.Email != "a@example.org" || len(own.Groups) != 1 {
		t.Errorf("%+v %+v", std, own)
	}
	if strings.Contains(string(raw), `"d"`) {
		t.Errorf("a private key is in %s", raw)
	}
}

func TestTooManyGroups(t *testing.T) {
	key, _ := pair(t)
	c := claims()
	for i := range 500 {
		c.Groups = append(c.Groups, fmt.Sprintf("group-%d", i))
	}
	if _, err := Sign(key, kid, c); err == nil {
		t.Error("a token that browsers drop")
	}
}

// FuzzVerify looks for a token that was not signed, or that is taken in two forms.
func FuzzVerify(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	keys := map[string]ed25519.PublicKey{kid: key.Public().(ed25519.PublicKey)}
	c := claims()
	token := signed(f, key, c)
	f.Add(token)
	f.Add(token[:len(token)-1])
	f.Add("..")
	f.Fuzz(func(t *testing.T, in string) {
		if got, err := Verify(in, keys); err == nil && in != token {
			t.Fatalf("%q is taken: %+v", in, got)
		}
	})
}
