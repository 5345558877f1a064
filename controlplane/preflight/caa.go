package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
)

// tags that authorities know: a critical one among others must make them refuse (RFC 8659 §4.1).
var tags = []string{"issue", "issuewild", "iodef", "contactemail", "contactphone", "issuemail", "issuevmc"}

// permit judges a set of CAA properties for one issuer: the methods that are left of those offered, or why there
// is none. Parameters are those of RFC 8657.
func permit(set []CAA, wildcard bool, i Issuer, methods []model.ChallengeType) ([]model.ChallengeType, Code, string) {
	for _, c := range set {
		if c.Flag&0x80 != 0 && !slices.Contains(tags, c.Tag) {
			return nil, CAACritical, fmt.Sprintf("has the critical property %q, which authorities refuse when they do not know it: remove it", c.Tag)
		}
	}
	if len(i.Domains) == 0 {
		return methods, "", ""
	}
	tag := "issue"
	if wildcard && slices.ContainsFunc(set, func(c CAA) bool { return c.Tag == "issuewild" }) {
		tag = "issuewild"
	}
	named, any := false, false
	var allowed []string
	code, why := CAAForbids, ""
	for _, c := range set {
		if c.Tag != tag {
			continue
		}
		any = true
		domain, params, ok := parseIssue(c.Value)
		if domain != "" {
			allowed = append(allowed, domain)
		}
		if !ok || !slices.ContainsFunc(i.Domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
			continue
		}
		named = true
		if uri, ok := params["accounturi"]; ok && i.Account != "" && uri != i.Account {
			code, why = CAAAccount, fmt.Sprintf("permits %s for the account %s only, ours is %s: change accounturi, or remove it", domain, uri, i.Account)
			continue
		}
		left := methods
		if only, ok := params["validationmethods"]; ok {
			left = nil
			for _, m := range methods {
				if slices.Contains(strings.Split(only, ","), string(m)) {
					left = append(left, m)
				}
			}
		}
		if len(left) > 0 {
			return left, "", ""
		}
		code, why = CAAMethod, fmt.Sprintf("permits %s by %s only, and only %s would work: add it to validationmethods", domain, params["validationmethods"], methodsText(methods))
	}
	switch {
	case !any:
		return methods, "", ""
	case named:
		return nil, code, why
	case len(allowed) == 0:
		return nil, CAAForbids, fmt.Sprintf("permits no authority: add 0 %s %q", tag, i.Domains[0])
	}
	return nil, CAAForbids, fmt.Sprintf("permits %s only: add 0 %s %q", list(allowed), tag, i.Domains[0])
}

func methodsText(methods []model.ChallengeType) string {
	var out []string
	for _, m := range methods {
		out = append(out, string(m))
	}
	return strings.Join(out, " or ")
}

// parseIssue reads the value of issue or issuewild: a domain and parameters (RFC 8659 §4.2). A malformed one permits
// nobody.
func parseIssue(value string) (domain string, params map[string]string, ok bool) {
	parts := strings.Split(value, ";")
	domain = strings.TrimSpace(parts[0])
	params = map[string]string{}
	for _, p := range parts[1:] {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		k, v, found := strings.Cut(p, "=")
		k = strings.ToLower(strings.TrimSpace(k))
		if _, twice := params[k]; !found || k == "" || twice || strings.ContainsAny(k, " \t") {
			return domain, nil, false
		}
		params[k] = strings.TrimSpace(v)
	}
	return domain, params, domain != "" && !strings.ContainsAny(domain, " \t")
}
