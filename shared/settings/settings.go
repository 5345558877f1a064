// Package settings refuses settings that a program would pass over in silence.
package settings

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// OneDocument refuses a settings file with more than one YAML document: only the first would be read. What is no
// YAML is the decoder's to refuse.
func OneDocument(text []byte) error {
	content, header := false, 0 // whether something was there, and the line of the newest "---" or "..." after it
	for _, t := range lexer.Tokenize(string(text)) {
		switch t.Type {
		case token.DocumentHeaderType, token.DocumentEndType:
			if content {
				header = t.Position.Line
			}
		case token.CommentType:
		default:
			if header > 0 {
				return fmt.Errorf("line %d: a second document, want one", header)
			}
			content = true
		}
	}
	return nil
}

// serviceLinks are the variables that Kubernetes makes, after the prefix, of a Service with the program's name: they
// are nobody's mistake.
var serviceLinks = regexp.MustCompile(`^(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// Environment refuses variables that start with prefix and that no field of the settings reads.
func Environment(prefix string, into any) error {
	fields, err := env.GetFieldParamsWithOptions(into, env.Options{Prefix: prefix})
	if err != nil {
		return err
	}
	var known []string
	for _, f := range fields {
		known = append(known, f.Key)
	}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || slices.Contains(known, name) || serviceLinks.MatchString(rest) {
			continue
		}
		return fmt.Errorf("environment: unknown variable %s, did you mean %s?", name, nearest(name, known))
	}
	return nil
}

// nearest is the word that needs the fewest changes to become name.
func nearest(name string, words []string) string {
	return slices.MinFunc(words, func(a, b string) int { return distance(name, a) - distance(name, b) })
}

// distance is how many characters have to be put in, left out or replaced (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
