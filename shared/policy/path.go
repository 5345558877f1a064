package policy

import (
	"fmt"
	"strings"
)

// A Path is a compiled pattern of paths. Literal octets stand for themselves; what can't be in a path stands for wildcards.
type Path string

const (
	anyRun      = 0x00 // any octets within a segment
	anySegments = 0x01 // any number of segments, each with its slash

	maxPattern = 512
)

// CompilePath reads a pattern: "*" stands for any run of characters within a segment, a segment "**" for any number of whole
// segments. Everything else stands for itself, but that a slash at the end does not count, neither here nor in a request:
// "/admin/**" is /admin, /admin/ and all below. Percent-encoding is another spelling of the same octet.
func CompilePath(pattern string) (Path, error) {
	if !strings.HasPrefix(pattern, "/") {
		return "", fmt.Errorf("%q does not begin with a slash", pattern)
	}
	if len(pattern) > maxPattern {
		return "", fmt.Errorf("longer than %d characters", maxPattern)
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(strings.TrimSuffix(pattern[1:], "/"), "/") {
		if segment == "**" {
			b.WriteByte(anySegments)
			continue
		}
		if segment == "" && pattern != "/" {
			return "", fmt.Errorf("%q has an empty segment", pattern)
		}
		if pattern != "/" {
			b.WriteByte('/')
		}
		if err := compileSegment(&b, segment); err != nil {
			return "", err
		}
	}
	return Path(b.String()), nil
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

// Match reports whether a path, in the one normal form that requests are let in with, is one of the pattern's. With bare set
// it is read as those servers do that cut ";" and what follows off each segment.
//
// It walks both once, and remembers the last wildcard of either kind to come back to.
func (p Path) Match(path string, bare bool) bool {
	path = strings.TrimSuffix(path, "/")
	at, i := 0, 0
	run, runAt := -1, 0           // pattern behind the last anyRun of this segment; where in the path it ends so far
	segments, segmentsAt := -1, 0 // the same for anySegments
	for {
		if bare {
			i = skipParameters(path, i)
		}
		if at < len(p) {
			switch {
			case p[at] == anySegments && (i == len(path) || path[i] == '/'):
				at++
				run, segments, segmentsAt = -1, at, i
				continue
			case p[at] == anyRun:
				at++
				run, runAt = at, i
				continue
			case i < len(path):
				if c, width := octet(path, i); c == p[at] {
					if c == '/' {
						run = -1
					}
					at, i = at+1, i+width
					continue
				}
			}
		} else if i == len(path) {
			return true
		}
		switch {
		case run >= 0 && runAt < len(path) && path[runAt] != '/':
			_, width := octet(path, runAt)
			runAt += width
			at, i = run, runAt
		case segments >= 0 && segmentsAt < len(path):
			segmentsAt = nextSegment(path, segmentsAt)
			run, at, i = -1, segments, segmentsAt
		default:
			return false
		}
	}
}

// nextSegment is where the segment ends whose slash is at i.
func nextSegment(path string, i int) int {
	if n := strings.IndexByte(path[i+1:], '/'); n >= 0 {
		return i + 1 + n
	}
	return len(path)
}

// skipParameters is i, or, if parameters of a segment begin there, where they end.
func skipParameters(path string, i int) int {
	if i == len(path) {
		return i
	}
	if c, _ := octet(path, i); c != ';' {
		return i
	}
	if n := strings.IndexByte(path[i:], '/'); n >= 0 {
		return i + n
	}
	return len(path)
}

// hasParameters reports whether servers differ about what the path's segments are.
func hasParameters(path string) bool {
	return strings.IndexByte(path, ';') >= 0 || strings.Contains(path, "%3B") || strings.Contains(path, "%3b")
}
