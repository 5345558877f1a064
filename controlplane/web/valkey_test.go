package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/presence/presencetest"
)

// T27: Valkey counts attempts, and is no authority about anything else. Who reads it learns nothing by which somebody gets in;
// who writes it signs nobody in or out, and gets no more attempts than who empties it.
func TestT27ValkeyIsNoAuthority(t *testing.T) {
	server := presencetest.Start(t)
	r := newRigAt(t, server.URL())
	b := r.set(t)
	session := b.cookie(sessions)
	thief := r.browser(t)
	guess := func() int { return thief.post("/sign-in", "email", alice, "password", another).status }
	for deadline := time.Now().Add(30 * time.Second); len(server.All(t)) == 0; { // until the replica counts there
		if guess(); time.Now().After(deadline) {
			t.Fatal("nothing is counted in Valkey")
		}
	}
	sum := sha256.Sum256([]byte(session))
	for k, v := range server.All(t) {
		for _, canary := range []string{alice, secret, another, session, hex.EncodeToString(sum[:8]), base64.RawURLEncoding.EncodeToString(sum[:9])} {
			if strings.Contains(k+v, canary) {
				t.Errorf("%s = %s tells %q", k, v, canary)
			}
		}
		if !strings.HasPrefix(k, "warren:limit:") {
			t.Errorf("%s is no count", k)
		}
	}
	at, _ := url.Parse(home)
	for _, value := range []string{"0", "-1", "-1e308", "nan", "1e400", "", "x'", "99999999999999999999", session} {
		server.Forge(t, value, slices.Collect(maps.Keys(server.All(t)))...)
		server.Forge(t, alice, "warren:session:"+session, "warren:session:"+hex.EncodeToString(sum[:]), "session:"+session, "user:"+alice)
		let, begun := 0, time.Now()
		for range 12 {
			switch status := guess(); status {
			case http.StatusForbidden:
				let++
			case http.StatusTooManyRequests:
			default:
				t.Fatalf("with counts of %q: %d", value, status)
			}
		}
		if most := 5 + int(time.Since(begun)/(12*time.Second)); let > most { // one is paid back each 12 s, by Valkey's clock
			t.Errorf("with counts of %q: %d attempts, want %d at most", value, let, most)
		}
		stranger := r.browser(t)
		stranger.Jar.SetCookies(at, []*http.Cookie{{Name: sessions, Value: strings.Repeat("A", len(session)), Path: "/", Secure: true}})
		if thief.signedIn() || stranger.signedIn() || !b.signedIn() {
			t.Errorf("with %q in Valkey: who is signed in has changed", value)
		}
	}
	server.Flush(t)
	if !b.signedIn() {
		t.Error("emptying Valkey signs people out")
	}
	b.post("/sign-out")
	server.Forge(t, alice, "warren:session:"+session)
	b.Jar.SetCookies(at, []*http.Cookie{{Name: sessions, Value: session, Path: "/", Secure: true}})
	if b.signedIn() {
		t.Error("a session that has ended is good again")
	}
}
