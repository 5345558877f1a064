package preflight

import (
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/model"
)

// set reads properties as they stand in a zone file, a line each.
func set(text string) []CAA {
	var out []CAA
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		flag := uint8(0)
		if f[0] == "128" {
			flag = 128
		}
		out = append(out, CAA{flag, f[1], f[2]})
	}
	return out
}

func TestT42_WhatCAAPermits(t *testing.T) {
	us := Issuer{Name: "one", Domains: []string{"ca.example", "alt.ca.example"}, Account: "https://ca.example/acct/7"}
	dns, web := []model.ChallengeType{model.DNS01}, []model.ChallengeType{model.TLSALPN01, model.HTTP01}
	for _, tt := range []struct {
		caa      string
		wildcard bool
		methods  []model.ChallengeType
		code     Code
		left     []model.ChallengeType
	}{
		{"0 issue ca.example", false, dns, "", dns},
		{"0 issue CA.Example", true, dns, "", dns},
		{"0 issue alt.ca.example", false, dns, "", dns},
		{"0 issue other.example\n0 issue ca.example", false, dns, "", dns},
		{"0 issue other.example", false, dns, CAAForbids, nil},
		{"0 issue ;", false, dns, CAAForbids, nil},
		{"0 issue sub.ca.example", false, dns, CAAForbids, nil},
		{"0 iodef mailto:a@b.example", false, dns, "", dns},
		{"0 tbs unknown", false, dns, "", dns},
		{"128 tbs unknown", false, dns, CAACritical, nil},
		{"128 tbs unknown\n0 issue ca.example", false, dns, CAACritical, nil},
		{"128 issue ca.example", false, dns, "", dns},
		// issuewild counts for wildcards, and for nothing else (§4.3).
		{"0 issuewild other.example", false, dns, "", dns},
		{"0 issuewild other.example", true, dns, CAAForbids, nil},
		{"0 issuewild ca.example\n0 issue other.example", true, dns, "", dns},
		{"0 issuewild ca.example\n0 issue other.example", false, dns, CAAForbids, nil},
		{"0 issue ca.example\n0 issuewild ;", true, dns, CAAForbids, nil},
		// RFC 8657.
		{"0 issue ca.example; accounturi=https://ca.example/acct/7", false, dns, "", dns},
		{"0 issue ca.example; accounturi=https://ca.example/acct/8", false, dns, CAAAccount, nil},
		{"0 issue ca.example; accounturi=https://ca.example/acct/8\n0 issue ca.example", false, dns, "", dns},
		{"0 issue ca.example; validationmethods=dns-01", false, dns, "", dns},
		{"0 issue ca.example;validationmethods=http-01,dns-01;accounturi=https://ca.example/acct/7", false, dns, "", dns},
		{"0 issue ca.example; validationmethods=http-01", false, dns, CAAMethod, nil},
		{"0 issue ca.example; validationmethods=http-01", false, web, "", []model.ChallengeType{model.HTTP01}},
		{"0 issue ca.example; validationmethods=", false, dns, CAAMethod, nil},
		// What can't be read permits nobody.
		{"0 issue ca.example; accounturi", false, dns, CAAForbids, nil},
		{"0 issue ca.example; a=1; a=2", false, dns, CAAForbids, nil},
		{"0 issue ca example", false, dns, CAAForbids, nil},
		{"0 issue ca.example; policy=ev", false, dns, "", dns},
	} {
		left, code, why := permit(set(tt.caa), tt.wildcard, us, tt.methods)
		if code != tt.code || !slices.Equal(left, tt.left) || (code != "") != (why != "") {
			t.Errorf("%q, wildcard %v: %v, %q, %q; want %v, %q", tt.caa, tt.wildcard, left, code, why, tt.left, tt.code)
		}
	}
	if left, code, _ := permit(nil, true, us, dns); code != "" || !slices.Equal(left, dns) {
		t.Errorf("no records: %v, %q", left, code)
	}
	if left, code, _ := permit(set("0 issue other.example"), false, Issuer{}, dns); code != "" || len(left) != 1 {
		t.Errorf("nobody in particular: %v, %q", left, code)
	}
	// The account is not known before it is made.
	if _, code, _ := permit(set("0 issue ca.example; accounturi=x"), false, Issuer{Domains: []string{"ca.example"}}, dns); code != "" {
		t.Errorf("no account yet: %q", code)
	}
}

// Our own nodes may name another account of ours for a moment: that is the gate's to wait for. What stands above the domain, or at somebody else's
// servers, counts as it is.
func TestOwnCAAWithAnotherAccount(t *testing.T) {
	const before = ` 300 IN CAA 0 issue "ca.example; accounturi=https://ca.example/acct/6; validationmethods=dns-01"`
	i, q := good(t)
	for _, a := range []string{n1.String(), n2.String()} {
		i.serve(a, nil, ours("shop.test.", "shop.test."+before))
	}
	if r := check(t, i, q); !r.OK() {
		t.Errorf("our own: %+v", r.Problems)
	}
	for _, a := range []string{n1.String(), n2.String()} {
		i.serve(a, nil, ours("shop.test.", `shop.test. 300 IN CAA 0 issue "ca.example; validationmethods=http-01"`))
	}
	if r := check(t, i, q); !slices.Contains(codes(r.Problems), string(CAAMethod)) {
		t.Errorf("our own by another method: %v", codes(r.Problems))
	}
	i, q = good(t, "test."+before)
	if r := check(t, i, q); !slices.Contains(codes(r.Problems), string(CAAAccount)) {
		t.Errorf("above: %v", codes(r.Problems))
	}
}

// Of several issuers one that may is enough, and it is named.
func TestSeveralIssuers(t *testing.T) {
	i, q := good(t, `test. 300 IN CAA 0 issue "second.example"`)
	q.Issuers = append(q.Issuers, Issuer{Name: "two", Domains: []string{"second.example"}})
	if r := check(t, i, q); !r.OK() || !slices.Equal(r.Issuers, []string{"two"}) {
		t.Errorf("%+v", r)
	}
}

func FuzzParseIssue(f *testing.F) {
	for _, s := range []string{"ca.example", ";", "ca.example; a=b ;c = d", "=;=", " x "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		domain, params, ok := parseIssue(value)
		if ok && (domain == "" || strings.ContainsAny(domain, "; \t")) {
			t.Errorf("%q: %q", value, domain)
		}
		for k := range params {
			if k == "" || strings.ContainsAny(k, ";= ") {
				t.Errorf("%q: parameter %q", value, k)
			}
		}
	})
}
