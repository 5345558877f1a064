package gate

import (
	"net/http"
	"strings"
	"time"

	"github.com/warrenedge/warren/shared/accesstoken"
)

// Cookies of a node. Their prefix lets browsers take them from this very host alone, over TLS. Targets never see them, nor
// can they set them: see strict.RemoveEdgeCookies.
const (
	accessCookie  = "__Host-warren-access"  // the token
	browserCookie = "__Host-warren-browser" // the secret that tokens are bound to
	grantCookie   = "__Host-warren-grant"   // what a node itself has given
)

// Fields in which a program that has no cookies shows a token, with the secret that it is bound to: in two fields, or both
// in the first one or as a bearer token, as accesstoken.Join puts them.
const (
	TokenField  = "Warren-Access-Token"
	SecretField = "Warren-Access-Secret"
)

// shown is what a program shows in fields. What has the form of ours the target does not see, good or not.
func shown(r *http.Request) (token, secret string, ok bool) {
	t, s := r.Header[TokenField], r.Header[SecretField]
	if len(t) == 1 && len(s) == 1 {
		return t[0], s[0], true
	}
	if len(t) == 1 {
		token, secret, ok = accesstoken.Split(t[0])
	}
	if a := r.Header["Authorization"]; len(a) == 1 && len(a[0]) > len(bearer) && strings.EqualFold(a[0][:len(bearer)], bearer) {
		if bt, bs, ours := accesstoken.Split(strings.TrimSpace(a[0][len(bearer):])); ours {
			r.Header.Del("Authorization")
			if !ok {
				token, secret, ok = bt, bs, true
			}
		}
	}
	return token, secret, ok
}

const bearer = "Bearer "

type cookies struct{ access, browser, grant string }

// readCookies finds ours. One that is there twice is none: which of them is meant can't be known.
func readCookies(h http.Header) (c cookies) {
	var twice [3]bool
	for _, line := range h["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.Trim(part, " \t"), "=")
			if !ok {
				continue
			}
			for i, to := range [...]struct {
				name  string
				value *string
			}{{accessCookie, &c.access}, {browserCookie, &c.browser}, {grantCookie, &c.grant}} {
				if name == to.name {
					twice[i] = twice[i] || *to.value != ""
					*to.value = value
				}
			}
		}
	}
	for i, v := range [...]*string{&c.access, &c.browser, &c.grant} {
		if twice[i] {
			*v = ""
		}
	}
	return c
}

// setCookie sets one of ours; one without life goes with the browser's session.
func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	c := http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second)}
	w.Header().Add("Set-Cookie", c.String())
}

func dropCookies(w http.ResponseWriter, names ...string) {
	for _, n := range names {
		c := http.Cookie{Name: n, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1}
		w.Header().Add("Set-Cookie", c.String())
	}
}
