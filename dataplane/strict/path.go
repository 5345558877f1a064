package strict

import "github.com/warrenedge/warren/shared/requestpath"

// normalTarget is requestpath.Normal with what a refusal is called here.
func normalTarget(uri string) (string, *Refusal) {
	path, err := requestpath.Normal(uri)
	switch err {
	case nil:
		return path, nil
	case requestpath.ErrLong:
		return "", LongURI
	case requestpath.ErrTarget:
		return "", Target
	}
	return "", Path
}

// Decoded is the path that a normal form stands for.
func Decoded(path string) string { return requestpath.Decoded(path) }

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
