package acme

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// About reports whether a CA says that a problem is about names, and not about the account: it identifies one of them, or its text has one of
// them, what is registered above one, or their exact set (so Let's Encrypt about certificates of a week).
func About(err error, names []string) bool {
	p, ok := errors.AsType[*Problem](err)
	if !ok || p == nil {
		return false
	}
	var them []string
	for _, n := range names {
		n = strings.TrimPrefix(n, "*.")
		them = append(them, n)
		if d, err := publicsuffix.EffectiveTLDPlusOne(n); err == nil {
			them = append(them, d)
		}
	}
	return p.about(them)
}

func (p *Problem) about(them []string) bool {
	text := strings.ToLower(p.Detail)
	words := strings.FieldsFunc(text, func(r rune) bool {
		return r != '.' && r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return slices.Contains(them, strings.TrimPrefix(strings.ToLower(p.Identifier), "*.")) || strings.Contains(text, "exact set of ") ||
		slices.ContainsFunc(words, func(w string) bool { return slices.Contains(them, strings.Trim(w, ".")) }) ||
		slices.ContainsFunc(p.Subproblems, func(s Problem) bool { return s.about(them) })
}
