package password

import (
	_ "embed"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/warrenedge/warren/controlplane/fault"
)

// Bounds of a password, in characters and bytes. There are no rules of composition (NIST SP 800-63B §3.1.1.2).
const (
	MinLength = 12
	maxBytes  = 1024
)

//go:embed common.txt
var commonText string

// common is what many people choose: whole passwords, and words that are one with some digits around them.
var common = sync.OnceValue(func() map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(commonText) {
		out[strings.TrimSpace(line)] = true
	}
	return out
})

// Check refuses a password that is easily guessed. about is what is known of its user: address and name.
func Check(field, text string, about ...string) error {
	text = canonical(text)
	switch {
	case !utf8.ValidString(text) || len(text) > maxBytes:
		return fault.Field(field, "want %d bytes of UTF-8 at most", maxBytes)
	case utf8.RuneCountInString(text) < MinLength:
		return fault.Field(field, "want %d characters at least", MinLength)
	}
	lower := strings.ToLower(text)
	stem := strings.TrimFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) })
	if common()[lower] || common()[stem] || common()[unit(stem)] {
		return fault.Field(field, "too common: attackers try it first")
	}
	if monotonous(lower) {
		return fault.Field(field, "too regular: attackers try it first")
	}
	for _, known := range about {
		for _, part := range strings.FieldsFunc(strings.ToLower(canonical(known)), func(r rune) bool { return r == '@' || unicode.IsSpace(r) }) {
			if utf8.RuneCountInString(part) >= 3 && (stem == part || lower == part || unit(stem) == part) || lower == strings.ToLower(known) {
				return fault.Field(field, "it is made of your name or address")
			}
		}
	}
	return nil
}

// canonical is the one form of a password, whichever keyboard it was typed on.
func canonical(text string) string { return norm.NFC.String(text) }

// unit is what a text is a repetition of, else the text.
func unit(s string) string {
	for n := 1; n <= len(s)/2; n++ {
		if len(s)%n == 0 && strings.Repeat(s[:n], len(s)/n) == s {
			return s[:n]
		}
	}
	return s
}

// monotonous reports whether a text has hardly any characters, repeats something short, or counts.
func monotonous(s string) bool {
	if utf8.RuneCountInString(unit(s)) <= 4 {
		return true
	}
	seen, steps, last := map[rune]bool{}, map[rune]int{}, rune(-1)
	for _, r := range s {
		if seen[r] = true; last >= 0 {
			steps[r-last]++
		}
		last = r
	}
	n := utf8.RuneCountInString(s)
	return len(seen) <= 3 || steps[1] >= n-3 || steps[-1] >= n-3
}
