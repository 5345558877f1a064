package console

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
	"go.yaml.in/yaml/v3"
)

// Bounds of what is written at once; more is for the command line.
const (
	maxDocuments = 200
	maxText      = 128 << 10 // bytes
	maxLine      = 16 << 10  // bytes
	maxBlank     = 50        // lines one after the other
	shortText    = 4 << 10   // bytes: whatever it says, it is soon read
	maxNested    = 64        // objects and lists within each other
	mostWrong    = 10        // things that are wrong; whoever mends them is told of others
)

const noAlias = "anchors and aliases are not taken here: use warren apply"

// bounded refuses a text that costs more than its length: in long lines, blank ones, brackets in brackets and after a mistake
// the work of the parser that tells so well what is wrong grows with the square of the text and faster, and of a few aliases of
// aliases any amount is made. The parser here has neither fault. All organizations share the program that reads.
func bounded(text string) []lineError {
	if len(text) > maxText {
		return []lineError{{1, 1, fmt.Sprintf("more than %d KiB: use warren apply", maxText>>10)}}
	}
	n, blank := 0, 0
	for line := range strings.Lines(text) {
		n++
		if blank++; strings.TrimSpace(line) != "" {
			blank = 0
		}
		switch {
		case len(line) > maxLine:
			return []lineError{{n, 1, fmt.Sprintf("more than %d KiB in a line", maxLine>>10)}}
		case blank > maxBlank:
			return []lineError{{n, 1, fmt.Sprintf("more than %d blank lines", maxBlank)}}
		}
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	for n := 1; ; n++ {
		var v yaml.Node
		switch err := d.Decode(&v); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && len(text) <= shortText:
			return aliased(text)
		case err != nil:
			return []lineError{mistake(err)}
		case n > maxDocuments:
			return []lineError{{v.Line, v.Column, fmt.Sprintf("more than %d documents: use warren apply", maxDocuments)}}
		}
		if wrong := nested(&v, maxNested); wrong != nil {
			return wrong
		}
	}
}

// nested looks for what is deeper in a node than left, and for what stands for something else.
func nested(v *yaml.Node, left int) []lineError {
	switch {
	case v.Kind == yaml.AliasNode || v.Anchor != "":
		return []lineError{{v.Line, v.Column, noAlias}}
	case left < 0:
		return []lineError{{v.Line, v.Column, "nested too deep"}}
	}
	for _, c := range v.Content {
		if wrong := nested(c, left-1); wrong != nil {
			return wrong
		}
	}
	return nil
}

// aliased looks for the same in a text with a mistake in it, which the other parser may not see as one.
func aliased(text string) []lineError {
	for _, t := range lexer.Tokenize(text) {
		if t.Type == token.AliasType {
			return []lineError{{t.Position.Line, t.Position.Column, noAlias}}
		}
	}
	return nil
}

var mistakeAt = regexp.MustCompile(`^yaml: line ([0-9]+): `)

// mistake is what a parser says of a text that is no YAML.
func mistake(err error) lineError {
	at, said := 1, err.Error()
	if m := mistakeAt.FindStringSubmatch(said); m != nil {
		at, _ = strconv.Atoi(m[1]) // digits
		said = said[len(m[0]):]
	}
	return lineError{at, 1, strings.TrimPrefix(said, "yaml: ")}
}
