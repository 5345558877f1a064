package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"github.com/warrenedge/warren/controlplane/model"
)

// Owned reports whether the DNS says that a domain is an organization's: by a TXT record before the domain, or before a name
// above it, up to the one that somebody has registered, since who writes there has all below. why says what was found else.
func (c *Checker) Owned(ctx context.Context, apex string, org model.OrgID) (owned bool, why string, err error) {
	limited, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	w := newWalk(c.with, Question{Names: above(apex)})
	why = fmt.Sprintf("%s.%s has no TXT record %q", model.ProofLabel, apex, model.ProofValue(org))
	for i, name := range above(apex) {
		at := model.ProofLabel + "." + dns.Fqdn(name)
		m, _, err := w.follow(limited, at, dns.TypeTXT)
		switch {
		case ended(ctx) != nil:
			return false, "", ended(ctx)
		case err != nil && i == 0:
			why = fmt.Sprintf("%s could not be asked for: %v", strings.TrimSuffix(at, "."), err)
		case err == nil && slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
			txt, ok := rr.(*dns.TXT)
			return ok && strings.Join(txt.Txt, "") == model.ProofValue(org)
		}):
			return true, "", nil
		}
	}
	return false, why, nil
}

// above are a domain and the names above it, down to the one that somebody has registered. What is below no public suffix, or is
// one, stands for itself.
func above(apex string) []string {
	out := []string{apex}
	registered, err := publicsuffix.EffectiveTLDPlusOne(apex)
	if err != nil {
		return out
	}
	for name := apex; name != registered; {
		_, name, _ = strings.Cut(name, ".")
		out = append(out, name)
	}
	return out
}
