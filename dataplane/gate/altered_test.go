package gate_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/policy"
)

// altered is a secret with each character changed, cut at each length, longer, in other letters, and beside itself.
func altered(secret string) []string {
	all := []string{"", secret + secret, secret + "x", "x" + secret, strings.ToUpper(secret), secret + "\u00a0", secret + "%00", fmt.Sprintf("%x", policy.HashSecret(secret))}
	for i := range secret {
		other := byte('x')
		if secret[i] == other {
			other = 'y'
		}
		all = append(all, secret[:i], secret[:i]+string(other)+secret[i+1:])
	}
	return all
}

func refused(status int) bool {
	return status == http.StatusForbidden || status == http.StatusUnauthorized
}

// TestT33_EveryAlteredWayIn shows a node share links, service tokens and the cookies of both that are not exactly what the policy
// has, or that are over, or of somewhere else.
func TestT33_EveryAlteredWayIn(t *testing.T) {
	const link, token, id = "9qTZ3n2v", "t0kenSecret", "token_1"
	over := time.Now().Add(-time.Second)
	n := newNode(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: policy.Auth{
		ShareLinks:    []policy.Secret{{ID: "link_1", SHA256: policy.HashSecret(link)}, {ID: "link_2", SHA256: policy.HashSecret("past" + link), Expires: over}},
		ServiceTokens: []policy.Secret{{ID: id, SHA256: policy.HashSecret(token)}, {ID: "token_2", SHA256: policy.HashSecret("past" + token), Expires: over}},
	}}, hello)

	bare := n.browser(true) // that keeps nothing from one request to the next but the connection
	bare.Jar = nil
	opens := func(secret string) int {
		resp, _ := n.visit(bare, http.MethodGet, "/?warren_share="+url.QueryEscape(secret), "")
		if len(resp.Cookies()) > 0 && resp.StatusCode != http.StatusFound {
			t.Errorf("a link of %q: %d with cookies", secret, resp.StatusCode)
		}
		return resp.StatusCode
	}
	if status := opens(link); status != http.StatusFound {
		t.Fatalf("the link: %d", status)
	}
	for _, bad := range append(altered(link), "past"+link, token, id) {
		if status := opens(bad); !refused(status) {
			t.Errorf("a link of %q: %d", bad, status)
		}
	}

	calls := func(fields ...string) int {
		resp, _ := n.visit(bare, http.MethodGet, "/", "", fields...)
		return resp.StatusCode
	}
	if status := calls("Warren-Token-Id", id, "Warren-Token-Secret", token); status != http.StatusOK {
		t.Fatalf("the token: %d", status)
	}
	for _, bad := range append(altered(token), "past"+token, link) {
		if strings.ContainsAny(bad, "\u00a0") {
			continue // no value of a field
		}
		for _, fields := range [][]string{{"Warren-Token-Id", id, "Warren-Token-Secret", bad}, {"Warren-Token-Id", "token_2", "Warren-Token-Secret", bad},
			{"Warren-Token-Id", id, "Authorization", "Bearer " + token}, {"Warren-Token-Secret", token}, {"Warren-Token-Id", bad, "Warren-Token-Secret", token}} {
			if status := calls(fields...); !refused(status) {
				t.Errorf("a token as %q: %d", fields, status)
			}
		}
	}

	c := n.browser(true)
	resp, _ := n.visit(c, http.MethodGet, "/?warren_share="+link, "")
	for _, cookie := range resp.Cookies() {
		if cookie.Value == "" {
			continue
		}
		for _, bad := range altered(cookie.Value) {
			if bad == "" || strings.ContainsAny(bad, "\u00a0") {
				continue
			}
			if status := calls("Cookie", cookie.Name+"="+bad); !refused(status) {
				t.Errorf("%s=%s: %d", cookie.Name, bad, status)
			}
		}
	}
	if resp, _ := n.visit(c, http.MethodGet, "/", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("with the cookie as it is: %d", resp.StatusCode)
	}
	for _, r := range n.got() {
		if s := r.Header.Get("Warren-Token-Secret") + r.Header.Get("Warren-Token-Id"); s != "" {
			t.Errorf("the target got %s", s)
		}
	}
}

// TestT33_OfAnotherOrganization shows a node what is good at a service of another organization, whose node shares its keys and
// control plane: a token of somebody who is a member there, in a group of the same name, a link, what it was exchanged for, and
// a service token.
func TestT33_OfAnotherOrganization(t *testing.T) {
	const link, token, id = "9qTZ3n2v", "t0kenSecret", "token_1"
	auth := func(secret string) policy.Auth {
		return policy.Auth{SignIn: policy.SignIn{Members: true, Groups: []string{"staff"}},
			ShareLinks:    []policy.Secret{{ID: "link_1", SHA256: policy.HashSecret(secret + link)}},
			ServiceTokens: []policy.Secret{{ID: id, SHA256: policy.HashSecret(secret + token)}}}
	}
	ours := newNode(t, &policy.Policy{Otherwise: policy.Authenticate, Auth: auth("ours")}, hello)
	theirs := newNode(t, &policy.Policy{ID: "policy_2", Org: "org_2", Otherwise: policy.Authenticate, Auth: auth("theirs")}, hello)
	theirs.plane.key = ours.plane.key
	keys := session.Config{Keys: map[string]ed25519.PublicKey{"k": ours.plane.key.Public().(ed25519.PublicKey)}}
	for _, n := range []*node{ours, theirs} {
		n.sessions.Apply(keys)
		n.gate.SetKeys([][32]byte{{7}})
	}
	const secret = "0123456789012345678901234567890123456789012"
	claims := &accesstoken.Claims{Issuer: cluster, Audience: host, Subject: "user_2", Session: "session_2", Org: "org_2", Email: "bob@example.org",
		Groups: []string{"staff"}, Binding: accesstoken.Binding(secret)}
	claims.Issue(time.Now())
	signed, err := accesstoken.Sign(ours.plane.key, "k", claims)
	if err != nil {
		t.Fatal(err)
	}
	resp, _ := theirs.visit(theirs.browser(true), http.MethodGet, "/?warren_share=theirs"+link, "")
	var granted []string
	for _, c := range resp.Cookies() {
		granted = append(granted, c.Name+"="+c.Value)
	}
	for name, tt := range map[string]struct {
		path   string
		fields []string
		status int // of who is good
	}{
		"an access token":         {"/", []string{"Cookie", "__Host-warren-browser=" + secret + "; __Host-warren-access=" + signed}, http.StatusOK},
		"a program's":             {"/", []string{"Warren-Access-Token", signed, "Warren-Access-Secret", secret}, http.StatusOK},
		"a share link":            {"/?warren_share=theirs" + link, nil, http.StatusFound},
		"what a link is good for": {"/", []string{"Cookie", strings.Join(granted, "; ")}, http.StatusOK},
		"a service token":         {"/", []string{"Warren-Token-Id", id, "Warren-Token-Secret", "theirs" + token}, http.StatusOK},
	} {
		fields := append([]string{"Accept", "*/*"}, tt.fields...)
		if resp, body := theirs.visit(theirs.browser(true), http.MethodGet, tt.path, "", fields...); resp.StatusCode != tt.status {
			t.Errorf("%s at its own: %d %s", name, resp.StatusCode, body)
		}
		if resp, body := ours.visit(ours.browser(true), http.MethodGet, tt.path, "", fields...); !refused(resp.StatusCode) {
			t.Errorf("%s of another organization: %d %s", name, resp.StatusCode, body)
		}
	}
	if seen := ours.got(); len(seen) > 0 {
		t.Errorf("the target got %d requests", len(seen))
	}
}
