// Package requestpath gives each path of a request one spelling, for whoever decides by it.
package requestpath

import (
	"errors"
	"net/url"
	"strings"
)

// MaxTarget is how long a request target may be, in its normal form as well.
const MaxTarget = 8 << 10

// Errors of Normal.
var (
	ErrTarget = errors.New("not a path with or without a query")
	ErrPath   = errors.New("a path that some servers read as another one")
	ErrLong   = errors.New("longer than 8 KiB")
)

// Normal returns the path of a request target in its one normal form, and refuses targets
// that some backend would read as another path. Percent-encoding is removed from what needs none
// (RFC 3986 §6.2.2) and upper case elsewhere; nothing else changes.
func Normal(uri string) (string, error) {
	if len(uri) > MaxTarget {
		return "", ErrLong
	}
	if !strings.HasPrefix(uri, "/") {
		return "", ErrTarget // absolute, authority and asterisk form
	}
	raw, query, _ := strings.Cut(uri, "?")
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return "", ErrTarget
		}
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c, encoded := raw[i], false
		if c == '%' {
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return "", ErrPath
			}
			c, encoded = unhex(raw[i+1])<<4|unhex(raw[i+2]), true
			i += 2
		}
		switch {
		case c < ' ' || c == 0x7f || c == '\\', encoded && c == '/', !encoded && (c == '#' || c == ' '):
			return "", ErrPath
		case c == '/':
			if strings.HasSuffix(b.String(), "/") {
				return "", ErrPath
			}
			b.WriteByte(c)
		case unreserved(c), !encoded && strings.IndexByte("!$&'()*+,;=:@[]", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte("0123456789ABCDEF"[c>>4])
			b.WriteByte("0123456789ABCDEF"[c&15])
		}
	}
	path := b.String()
	if len(path) > MaxTarget { // raw octets have grown by their encoding
		return "", ErrLong
	}
	for segment := range strings.SplitSeq(path, "/") {
		name, _, _ := strings.Cut(strings.ReplaceAll(segment, "%3B", ";"), ";") // "..;x" is ".." to some
		if name == "." || name == ".." {
			return "", ErrPath
		}
	}
	return path, nil
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}

// Decoded is the path that a normal form stands for.
func Decoded(path string) string {
	d, err := url.PathUnescape(path)
	if err != nil {
		return path // Normal makes none of these
	}
	return d
}

// Within reports whether a decoded path is a prefix or below it, by whole segments: "/a" is for "/a" and "/a/b", not for
// "/ab". The prefix has no slash at its end; "" is for every path.
func Within(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}
