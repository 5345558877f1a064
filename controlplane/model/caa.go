package model

import (
	"cmp"
	"slices"
	"strings"
)

// CAA is a property of a CAA record (RFC 8659 §4.1).
type CAA struct{ Tag, Value string }

// What certificates are ordered by, in CAA records (RFC 8657 §4): each way in which challenges are answered, since an authority may use a proof of
// another way again for weeks. A wildcard is proved in the DNS alone.
const (
	caaMethods         = "validationmethods=dns-01,http-01,tls-alpn-01"
	caaWildcardMethods = "validationmethods=dns-01"
)

// CAAOf is what nodes answer of a domain's CAA records, sorted; none while it is not known what all issuers are called there. A domain that
// wants it names the cluster's account at each issuer. One whose account is not known yet, or can't be written in a record, may issue for any:
// else it would never get the first order.
func (m *Model) CAAOf(d *Domain) []CAA {
	var out []CAA
	if !d.CAAAccount {
		for _, name := range m.CAAIdentities() {
			out = append(out, CAA{"issue", name})
		}
		return out
	}
	if m.CAAIdentities() == nil {
		return nil
	}
	for i := range m.Issuers() {
		for _, name := range i.CAADomains() {
			if !inCAA(i.AccountURL) {
				out = append(out, CAA{"issue", name}, CAA{"issuewild", name})
				continue
			}
			bound := name + "; accounturi=" + i.AccountURL + "; "
			out = append(out, CAA{"issue", bound + caaMethods}, CAA{"issuewild", bound + caaWildcardMethods})
		}
	}
	slices.SortFunc(out, func(a, b CAA) int { return cmp.Or(strings.Compare(a.Tag, b.Tag), strings.Compare(a.Value, b.Value)) })
	return slices.Compact(out)
}

// inCAA reports whether an account's URL can be the value of a parameter (RFC 8659 §4.2) in a record of ordinary length.
func inCAA(url string) bool {
	return url != "" && len(url) <= 1024 && !strings.ContainsFunc(url, func(r rune) bool { return r <= ' ' || r > '~' || r == ';' || r == '"' || r == '\\' })
}
