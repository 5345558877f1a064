package policy

import (
	"fmt"
	"strings"
)

// A Path is a compiled pattern of paths.
type Path struct {
	text           string // literal octets stand for themselves; what can't be in a path stands for wildcards
	prefix, suffix uint16 // how much of it is before the first wildcard, and behind the last one
}

const (
	anyRun      = 0x00 // any octets within a segment
	anySegments = 0x01 // any number of segments, each with its slash
	wildcards   = "\x00\x01"

	maxPattern = 512
)

// CompilePath reads a pattern: "*" stands for any run of characters within a segment, a segment "**" for any number of whole
// segments. Everything else stands for itself, but that a slash at the end does not count, neither here nor in a request:
// "/admin/**" is /admin, /admin/ and all below. Percent-encoding is another spelling of the same octet.
func CompilePath(pattern string) (Path, error) {
	if !strings.HasPrefix(pattern, "/") {
		return Path{}, fmt.Errorf("%q does not begin with a slash", pattern)
	}
	if len(pattern) > maxPattern {
		return Path{}, fmt.Errorf("longer than %d characters", maxPattern)
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(strings.TrimSuffix(pattern[1:], "/"), "/") {
		if segment == "**" {
			b.WriteByte(anySegments)
			continue
		}
		if segment == "" && pattern != "/" {
			return Path{}, fmt.Errorf("%q has an empty segment", pattern)
		}
		if pattern != "/" {
			b.WriteByte('/')
		}
		if err := compileSegment(&b, segment); err != nil {
			return Path{}, err
		}
	}
	p := Path{text: b.String()}
	first, last := strings.IndexAny(p.text, wildcards), strings.LastIndexAny(p.text, wildcards)
	if first < 0 {
		first = len(p.text)
	}
	p.prefix, p.suffix = uint16(first), uint16(len(p.text)-1-last)
	return p, nil
}

func compileSegment(b *strings.Builder, segment string) error {
	if strings.Contains(segment, "**") {
		return fmt.Errorf("segment %q: ** is a segment of its own", segment)
	}
	plain := make([]byte, 0, len(segment))
	for i := 0; i < len(segment); {
		c, width := octet(segment, i)
		switch {
		case segment[i] == '*':
			c = anyRun
		case segment[i] == '%' && width == 1:
			return fmt.Errorf("segment %q: %% is not followed by two hexadecimal digits", segment)
		case c < ' ' || c == 0x7f || c == '/' || c == '\\':
			return fmt.Errorf("segment %q: no request that has %#x in a segment is let in", segment, c)
		case c == ';':
			return fmt.Errorf("segment %q: parameters of segments are not looked at", segment)
		}
		plain = append(plain, c)
		i += width
	}
	if s := string(plain); s == "." || s == ".." {
		return fmt.Errorf("segment %q: no request that has it is let in", segment)
	}
	b.Write(plain)
	return nil
}

// octet is the octet that path has at i, and how many characters it is written with.
func octet(path string, i int) (byte, int) {
	if path[i] == '%' && i+2 < len(path) {
		hi, lo := hexDigit(path[i+1]), hexDigit(path[i+2])
		if hi < 16 && lo < 16 {
			return hi<<4 | lo, 3
		}
	}
	return path[i], 1
}

func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// octets appends the octets of a path, in the one normal form that requests are let in with, but for a slash at its end. With
// bare set it is read as those servers do that cut ";" and what follows off each segment.
func octets(to []byte, path string, bare bool) []byte {
	path = strings.TrimSuffix(path, "/")
	if !bare && strings.IndexByte(path, '%') < 0 {
		return append(to, path...)
	}
	for i := 0; i < len(path); {
		c, width := octet(path, i)
		if bare && c == ';' {
			i = nextSegment(path, i)
			continue
		}
		to, i = append(to, c), i+width
	}
	return to
}

// nextSegment is where the next segment begins, with its slash.
func nextSegment(path string, i int) int {
	if n := strings.IndexByte(path[i:], '/'); n >= 0 {
		return i + n
	}
	return len(path)
}

// match reports whether a path is one of the pattern's. What is literal at either end has to be there, which most paths are
// told by.
func (p *Path) match(path []byte) bool {
	n, m := int(p.prefix), int(p.suffix)
	if n == len(p.text) {
		return string(path) == p.text
	}
	return len(path) >= n+m && string(path[:n]) == p.text[:n] && string(path[len(path)-m:]) == p.text[len(p.text)-m:] &&
		walk(p.text[n:len(p.text)-m], path[n:len(path)-m])
}

// walk goes through pattern and path once, and remembers the last wildcard of either kind to come back to.
func walk(p string, path []byte) bool {
	at, i := 0, 0
	run, runAt := -1, 0           // pattern behind the last anyRun of this segment; where in the path it ends so far
	segments, segmentsAt := -1, 0 // the same for anySegments
	for {
		switch {
		case at == len(p):
			if i == len(path) {
				return true
			}
		case p[at] == anySegments:
			if i == len(path) || path[i] == '/' {
				at++
				run, segments, segmentsAt = -1, at, i
				continue
			}
		case p[at] == anyRun:
			at++
			run, runAt = at, i
			continue
		case i < len(path) && path[i] == p[at]:
			if p[at] == '/' {
				run = -1
			}
			at, i = at+1, i+1
			continue
		}
		switch {
		case run >= 0 && runAt < len(path) && path[runAt] != '/':
			runAt++
			at, i = run, runAt
		case segments >= 0 && segmentsAt < len(path):
			segmentsAt++
			for segmentsAt < len(path) && path[segmentsAt] != '/' {
				segmentsAt++
			}
			run, at, i = -1, segments, segmentsAt
		default:
			return false
		}
	}
}

// hasParameters reports whether servers differ about what the path's segments are.
func hasParameters(path string) bool {
	return strings.IndexByte(path, ';') >= 0 || strings.Contains(path, "%3B") || strings.Contains(path, "%3b")
}
