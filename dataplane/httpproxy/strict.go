package httpproxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/shared/hostname"
)

// Caps of a request head (research/reliability-security.md §2.1).
const (
	maxHeaders     = 100
	maxHeaderBytes = 32 << 10
	maxURI         = 8 << 10
)

// A refusal is an answer that no target is asked for.
type refusal struct {
	status int
	reason string // the label of a counter
}

func (r *refusal) Error() string { return r.reason }

var (
	refuseMethod    = &refusal{http.StatusMethodNotAllowed, "method"}
	refuseTarget    = &refusal{http.StatusBadRequest, "target"} // not in origin form (RFC 9112 §3.2.1)
	refusePath      = &refusal{http.StatusBadRequest, "path"}
	refuseLongURI   = &refusal{http.StatusRequestURITooLong, "uri_length"}
	refuseHost      = &refusal{http.StatusBadRequest, "host"}
	refuseMisdirect = &refusal{http.StatusMisdirectedRequest, "misdirected"}
	refuseHeaders   = &refusal{http.StatusRequestHeaderFieldsTooLarge, "headers"}
	refuseWire      = &refusal{http.StatusBadRequest, "wire"} // by the gate
	refuseFraming   = &refusal{http.StatusBadRequest, "framing"}
	refuseUpgrade   = &refusal{http.StatusBadRequest, "upgrade"}
	refuseNoRoute   = &refusal{http.StatusNotFound, "no_route"}
	refuseNoTarget  = &refusal{http.StatusServiceUnavailable, "no_target"}
	refuseDraining  = &refusal{http.StatusServiceUnavailable, "draining"}
)

var refusals = []*refusal{refuseMethod, refuseTarget, refusePath, refuseLongURI, refuseHost, refuseMisdirect, refuseHeaders,
	refuseWire, refuseFraming, refuseUpgrade, refuseNoRoute, refuseNoTarget, refuseDraining}

// admitted is what is known of a request that has passed: the only reading of it from here on.
type admitted struct {
	route     *route
	host      string // canonical
	authority string // host, with the port that the client named unless it is 443
	path      string // normal form, still escaped
	upgrade   bool
}

// admit decides everything that does not depend on a target. Name is the canonical server name of
// the connection's handshake. It reads r and changes nothing.
func admit(r *http.Request, t *table, name string) (*admitted, *refusal) {
	switch r.Method {
	case http.MethodConnect, http.MethodTrace, "TRACK", "PRI":
		return nil, refuseMethod
	}
	if ref := checkHead(r); ref != nil {
		return nil, ref
	}
	host, authority, ok := splitAuthority(r.Host)
	if !ok {
		return nil, refuseHost
	}
	if also, ok := r.Header["Host"]; ok && (len(also) != 1 || also[0] != r.Host) {
		return nil, refuseHost // HTTP/2 with a host field beside :authority (RFC 9113 §8.3.1)
	}
	path, ref := normalTarget(r.RequestURI)
	if ref != nil {
		return nil, ref
	}
	rt := t.match(host)
	if host != name && (rt == nil || rt != t.match(name)) {
		// A connection is good for the hostnames of one route (RFC 9110 §7.4): what the handshake
		// asked of the client holds for no other.
		return nil, refuseMisdirect
	}
	if rt == nil {
		return nil, refuseNoRoute
	}
	up, ref := checkUpgrade(r)
	if ref != nil {
		return nil, ref
	}
	return &admitted{route: rt, host: host, authority: authority, path: path, upgrade: up}, nil
}

// checkHead caps the header fields and refuses framing that has two readings. The gate has refused
// most of that on the wire already; this holds for HTTP/2 as well.
func checkHead(r *http.Request) *refusal {
	count, size := 0, 0
	for k, vs := range r.Header {
		for _, v := range vs {
			count++
			size += len(k) + len(v) + 4
		}
	}
	if count > maxHeaders || size > maxHeaderBytes {
		return refuseHeaders
	}
	_, coding := r.Header["Transfer-Encoding"]
	length := r.Header["Content-Length"]
	if coding || len(length) > 1 || len(r.TransferEncoding) > 0 && (len(length) > 0 || !r.ProtoAtLeast(1, 1)) {
		return refuseFraming
	}
	if len(length) == 1 { // HTTP/2 may end a stream before the length it declares (RFC 9113 §8.1.1)
		if n, err := strconv.ParseUint(length[0], 10, 63); err != nil || int64(n) != r.ContentLength {
			return refuseFraming
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
func checkUpgrade(r *http.Request) (bool, *refusal) {
	if len(r.Header["Http2-Settings"]) > 0 {
		return false, refuseUpgrade
	}
	fields := r.Header["Upgrade"]
	if len(fields) == 0 {
		return false, nil
	}
	proto := strings.ToLower(strings.TrimSpace(fields[0]))
	family, _, _ := strings.Cut(proto, "/")
	switch {
	case len(fields) > 1, proto == "", strings.ContainsAny(proto, ", \t"):
		return false, refuseUpgrade
	case family == "h2c", family == "h2", family == "h3", family == "http", family == "tls":
		return false, refuseUpgrade
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0, r.ProtoMajor != 1 || r.ProtoMinor != 1:
		return false, refuseUpgrade
	}
	return true, nil
}

// normalTarget returns the path of a request target in its one normal form, and refuses targets
// that some backend would read as another path. Percent-encoding is removed from what needs none
// (RFC 3986 §6.2.2) and upper case elsewhere; nothing else changes.
func normalTarget(uri string) (string, *refusal) {
	if len(uri) > maxURI {
		return "", refuseLongURI
	}
	if !strings.HasPrefix(uri, "/") {
		return "", refuseTarget // absolute, authority and asterisk form
	}
	raw, query, _ := strings.Cut(uri, "?")
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f || c == '#' {
			return "", refuseTarget
		}
	}
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); i++ {
		c, encoded := raw[i], false
		if c == '%' {
			if i+2 >= len(raw) || !isHex(raw[i+1]) || !isHex(raw[i+2]) {
				return "", refusePath
			}
			c, encoded = unhex(raw[i+1])<<4|unhex(raw[i+2]), true
			i += 2
		}
		switch {
		case c < ' ' || c == 0x7f || c == '\\', encoded && c == '/', !encoded && (c == '#' || c == ' '):
			return "", refusePath
		case c == '/':
			if strings.HasSuffix(b.String(), "/") {
				return "", refusePath
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
		return "", refuseLongURI
	}
	for segment := range strings.SplitSeq(path, "/") {
		name, _, _ := strings.Cut(strings.ReplaceAll(segment, "%3B", ";"), ";") // "..;x" is ".." to some
		if name == "." || name == ".." {
			return "", refusePath
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
