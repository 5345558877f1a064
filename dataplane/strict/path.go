package strict

import (
	"net/url"
	"strings"
)

// normalTarget returns the path of a request target in its one normal form, and refuses targets
// that some backend would read as another path. Percent-encoding is removed from what needs none
// (RFC 3986 §6.2.2) and upper case elsewhere; nothing else changes.
func normalTarget(uri string) (string, *Refusal) {
	if len(uri) > maxURI {
		return "", LongURI
	}
	if !strings.HasPrefix(uri, "/") {
		return "", Target // absolute, authority and asterisk form
	}
	raw, query, _ := strings.Cut(uri, "?")
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return "", Target
		}
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c, encoded := raw[i], false
		if c == '%' {
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return "", Path
			}
			c, encoded = unhex(raw[i+1])<<4|unhex(raw[i+2]), true
			i += 2
		}
		switch {
		case c < ' ' || c == 0x7f || c == '\\', encoded && c == '/', !encoded && (c == '#' || c == ' '):
			return "", Path
		case c == '/':
			if strings.HasSuffix(b.String(), "/") {
				return "", Path
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
	if len(path) > maxURI { // raw octets have grown by their encoding
		return "", LongURI
	}
	for segment := range strings.SplitSeq(path, "/") {
		name, _, _ := strings.Cut(strings.ReplaceAll(segment, "%3B", ";"), ";") // "..;x" is ".." to some
		if name == "." || name == ".." {
			return "", Path
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
		return path // normalTarget makes none of these
	}
	return d
}
