package httpproxy

import (
	"net/http"
	"strings"
)

// Delivery is how requests of a route are changed on their way to a target, and answers on their way back. What says who
// asks is the node's to say: nothing here takes its place.
type Delivery struct {
	Host     string // that targets are sent; "": the request's
	Request  Fields
	Response Fields
}

// Fields are changes of header fields: first some are removed, then some set.
type Fields struct {
	Remove []string // canonical names
	Set    []Field
}

// Field is a header field with its one value.
type Field struct{ Name, Value string }

func (f *Fields) apply(h http.Header) {
	for _, name := range f.Remove {
		delete(h, name)
	}
	for _, s := range f.Set {
		h[s.Name] = []string{s.Value}
	}
}

// below cuts the segments of a prefix off a path, which may be percent-encoded: package strict has refused what could be
// decoded into other segments, so that they are as many in either form.
func below(path, prefix string) string {
	rest := path
	for range strings.Count(prefix, "/") {
		next := strings.IndexByte(rest[1:], '/')
		if next < 0 {
			return "/"
		}
		rest = rest[1+next:]
	}
	return rest
}
