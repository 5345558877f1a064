// Package strict gives each HTTP request one reading, or refuses it, before anything is decided about it.
package strict

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/shared/hostname"
)

// Caps of a request head (research/reliability-security.md §2.1).
const (
	MaxHeaderBytes = 32 << 10
	maxHeaders     = 100
)

// A Refusal is an answer that no target is asked for.
type Refusal struct {
	Status int
	Reason string // the label of a counter
}

func (r *Refusal) Error() string { return r.Reason }

// Refusals of Check, and of what a Scanner does not let pass.
var (
	Method  = &Refusal{http.StatusMethodNotAllowed, "method"}
	Target  = &Refusal{http.StatusBadRequest, "target"} // not in origin form (RFC 9112 §3.2.1)
	Path    = &Refusal{http.StatusBadRequest, "path"}
	LongURI = &Refusal{http.StatusRequestURITooLong, "uri_length"}
	Host    = &Refusal{http.StatusBadRequest, "host"}
	Headers = &Refusal{http.StatusRequestHeaderFieldsTooLarge, "headers"}
	Wire    = &Refusal{http.StatusBadRequest, "wire"}
	Framing = &Refusal{http.StatusBadRequest, "framing"}
	Upgrade = &Refusal{http.StatusBadRequest, "upgrade"}
)

// Refusals lists them.
var Refusals = []*Refusal{Method, Target, Path, LongURI, Host, Headers, Wire, Framing, Upgrade}

// Request is what is known of a request that has passed: the only reading of it from here on.
type Request struct {
	Host      string // canonical
	Authority string // Host, with the port that the client named unless it is 443
	Path      string // normal form, still escaped
	Upgrade   bool
}

// Check refuses what has two readings. It reads r and changes nothing.
func Check(r *http.Request) (Request, *Refusal) {
	switch r.Method {
	case http.MethodConnect, http.MethodTrace, "TRACK", "PRI":
		return Request{}, Method
	}
	if ref := checkHead(r); ref != nil {
		return Request{}, ref
	}
	host, authority, ok := splitAuthority(r.Host)
	if !ok {
		return Request{}, Host
	}
	if also, ok := r.Header["Host"]; ok && (len(also) != 1 || also[0] != r.Host) {
		return Request{}, Host // HTTP/2 with a host field beside :authority (RFC 9113 §8.3.1)
	}
	path, ref := normalTarget(r.RequestURI)
	if ref != nil {
		return Request{}, ref
	}
	up, ref := checkUpgrade(r)
	if ref != nil {
		return Request{}, ref
	}
	return Request{Host: host, Authority: authority, Path: path, Upgrade: up}, nil
}

// checkHead caps the header fields and refuses framing that has two readings. The gate has refused
// most of that on the wire already; this holds for HTTP/2 as well.
func checkHead(r *http.Request) *Refusal {
	count, size := 0, 0
	for k, vs := range r.Header {
		for _, v := range vs {
			count++
			size += len(k) + len(v) + 4
		}
	}
	if count > maxHeaders || size > MaxHeaderBytes {
		return Headers
	}
	_, coding := r.Header["Transfer-Encoding"]
	length := r.Header["Content-Length"]
	if coding || len(length) > 1 || len(r.TransferEncoding) > 0 && (len(length) > 0 || !r.ProtoAtLeast(1, 1)) {
		return Framing
	}
	if len(length) == 1 { // HTTP/2 may end a stream before the length it declares (RFC 9113 §8.1.1)
		if n, err := strconv.ParseUint(length[0], 10, 63); err != nil || int64(n) != r.ContentLength {
			return Framing
		}
	}
	return nil
}

// splitAuthority returns the canonical host of a Host field or :authority, alone and with its port.
func splitAuthority(s string) (host, authority string, ok bool) {
	name, port, has := strings.Cut(s, ":")
	if has {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || port[0] == '+' {
			return "", "", false
		}
		port = strconv.FormatUint(n, 10)
	}
	host, err := hostname.Canonical(name)
	if err != nil {
		return "", "", false
	}
	if has && port != "443" {
		return host, host + ":" + port, true
	}
	return host, host, true
}

// checkUpgrade lets one protocol through, on a request without a body. A protocol that carries HTTP
// requests again would carry them past everything here.
func checkUpgrade(r *http.Request) (bool, *Refusal) {
	if len(r.Header["Http2-Settings"]) > 0 {
		return false, Upgrade
	}
	fields := r.Header["Upgrade"]
	if len(fields) == 0 {
		return false, nil
	}
	proto := strings.ToLower(strings.TrimSpace(fields[0]))
	family, _, _ := strings.Cut(proto, "/")
	switch {
	case len(fields) > 1, proto == "", strings.ContainsAny(proto, ", \t"):
		return false, Upgrade
	case family == "h2c", family == "h2", family == "h3", family == "http", family == "tls":
		return false, Upgrade
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0, r.ProtoMajor != 1 || r.ProtoMinor != 1:
		return false, Upgrade
	}
	return true, nil
}
