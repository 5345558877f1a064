package model

import (
	"slices"
	"strings"
	"testing"
)

// A domain that wants it names accounts and methods, of wildcards apart; where that can't be said of an issuer, any account there may issue. Without
// it, or as long as an issuer is not known by a domain, nothing changes.
func TestCAAOf(t *testing.T) {
	const methods, wild = "; validationmethods=dns-01,http-01,tls-alpn-01", "; validationmethods=dns-01"
	issuer := func(account string, domains ...string) *Issuer {
		return &Issuer{ID: IssuerID{}.New(), DirectoryURL: "https://ca.example/dir", AccountURL: account, CAAIdentities: domains}
	}
	for _, c := range []struct {
		name    string
		issuers []*Issuer
		any     []string
		bound   []string
	}{
		{name: "no issuer"},
		{"an account", []*Issuer{issuer("https://a.example/1", "a.example")}, []string{"issue a.example"},
			[]string{"issue a.example; accounturi=https://a.example/1" + methods, "issuewild a.example; accounturi=https://a.example/1" + wild}},
		{"none yet", []*Issuer{issuer("", "a.example")}, []string{"issue a.example"}, []string{"issue a.example", "issuewild a.example"}},
		{"two domains, two issuers", []*Issuer{issuer("https://a.example/1", "a.example", "b.example"), issuer("", "c.example")}, []string{"issue a.example", "issue b.example", "issue c.example"},
			[]string{
				"issue a.example; accounturi=https://a.example/1" + methods, "issue b.example; accounturi=https://a.example/1" + methods, "issue c.example",
				"issuewild a.example; accounturi=https://a.example/1" + wild, "issuewild b.example; accounturi=https://a.example/1" + wild, "issuewild c.example",
			}},
		{"two accounts", []*Issuer{issuer("https://a.example/1", "a.example"), issuer("https://a.example/2", "a.example")}, []string{"issue a.example"},
			[]string{
				"issue a.example; accounturi=https://a.example/1" + methods, "issue a.example; accounturi=https://a.example/2" + methods,
				"issuewild a.example; accounturi=https://a.example/1" + wild, "issuewild a.example; accounturi=https://a.example/2" + wild,
			}},
		{"unknown by a domain", []*Issuer{issuer("https://a.example/1", "a.example"), issuer("https://b.example/1")}, nil, nil},
		{"an URL of two parameters", []*Issuer{issuer("https://a.example/1;x=y", "a.example")}, []string{"issue a.example"}, []string{"issue a.example", "issuewild a.example"}},
		{"an URL with quotes", []*Issuer{issuer(`https://a.example/"`, "a.example")}, []string{"issue a.example"}, []string{"issue a.example", "issuewild a.example"}},
		{"an URL without end", []*Issuer{issuer("https://a.example/"+strings.Repeat("a", 1100), "a.example")}, []string{"issue a.example"}, []string{"issue a.example", "issuewild a.example"}},
	} {
		b := Batch{To: 1, Reload: true, Issuers: map[IssuerID]*Issuer{}}
		for _, i := range c.issuers {
			b.Issuers[i.ID] = i
		}
		m := Empty().Apply(b)
		for _, w := range []struct {
			d    Domain
			want []string
		}{{Domain{}, c.any}, {Domain{CAAAccount: true}, c.bound}} {
			var got []string
			for _, p := range m.CAAOf(&w.d) {
				got = append(got, p.Tag+" "+p.Value)
			}
			if !slices.Equal(got, w.want) {
				t.Errorf("%s, %v: %q, want %q", c.name, w.d.CAAAccount, got, w.want)
			}
		}
	}
}
