// Package hostname gives every part of Warren one canonical form of a hostname with one meaning of a
// wildcard: model, SNI, HTTP, certificates, DNS all compare what this package returns.
package hostname

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// profile is UTS #46 with the rules of IDNA 2008 registration, so that a name has one spelling only.
// Hyphens are judged by fast: names like "r3--sn-x.example" are in use.
var profile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(false), idna.StrictDomainName(true), idna.Transitional(false))

// ErrSyntax is wrapped by every refusal.
var ErrSyntax = errors.New("not a hostname")

// Canonical returns the one spelling of a hostname: lower case, ASCII (RFC 5891 A-labels), no
// trailing dot. IP literals, empty names, empty labels, wildcards and names longer than 253 octets
// (RFC 1035 §2.3.4) are refused.
func Canonical(name string) (string, error) {
	s := strings.TrimSuffix(name, ".")
	if s == "" {
		return "", fmt.Errorf("%w: empty", ErrSyntax)
	}
	if fast(s) && !strings.Contains(s, "xn--") { // an A-label must prove that it is one
		return s, nil
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", fmt.Errorf("%w: an IP address", ErrSyntax)
	}
	if len(s) > 4*253 { // no such name has an ASCII form that fits, and finding out takes long
		return "", fmt.Errorf("%w: longer than 253 octets", ErrSyntax)
	}
	if !utf8.ValidString(s) { // idna would encode the replacement character
		return "", fmt.Errorf("%w: not UTF-8", ErrSyntax)
	}
	ascii, err := profile.ToASCII(s)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrSyntax, err)
	}
	if !fast(ascii) {
		return "", fmt.Errorf("%w: labels are 1 to 63 letters, digits and inner hyphens, 253 octets in all", ErrSyntax)
	}
	return ascii, nil
}

// CanonicalPattern is Canonical for a name that may start with one "*." label.
func CanonicalPattern(name string) (string, error) {
	rest, wild := strings.CutPrefix(name, "*.")
	s, err := Canonical(rest)
	if err != nil {
		return "", err
	}
	if !wild {
		return s, nil
	}
	if len(s)+2 > 253 {
		return "", fmt.Errorf("%w: longer than 253 octets", ErrSyntax)
	}
	return "*." + s, nil
}

// IsWildcard reports whether a canonical pattern starts with "*.".
func IsWildcard(pattern string) bool { return strings.HasPrefix(pattern, "*.") }

// Wildcard returns the pattern that covers name by its one leftmost label (RFC 6125 §6.4.3), and
// false for a name of a single label.
func Wildcard(name string) (string, bool) {
	_, rest, ok := strings.Cut(name, ".")
	if !ok {
		return "", false
	}
	return "*." + rest, true
}

// Match reports whether a canonical pattern covers a canonical name: the same name, or a wildcard
// in place of exactly one label.
func Match(pattern, name string) bool {
	if pattern == name {
		return true
	}
	w, ok := Wildcard(name)
	return ok && w == pattern
}

// Within reports whether a canonical name or pattern is apex itself or below it.
func Within(name, apex string) bool {
	return name == apex || strings.HasSuffix(name, "."+apex)
}

// fast accepts what is canonical already, and is the last word on syntax (RFC 1123 §2.1).
func fast(s string) bool {
	if len(s) > 253 {
		return false
	}
	label, digits := 0, true // digits: the label so far has nothing but digits
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.':
			if label == 0 || s[i-1] == '-' {
				return false
			}
			label, digits = 0, true
			continue
		case c == '-':
			if label == 0 {
				return false
			}
			digits = false
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'z':
			digits = false
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	// A last label of digits alone would be an IPv4 address to many parsers (WHATWG URL §3.5).
	return label > 0 && s[len(s)-1] != '-' && !digits
}
