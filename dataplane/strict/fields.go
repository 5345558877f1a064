package strict

import (
	"net/http"
	"slices"
	"strings"
)

// Fields that say who asks, from where or for what, and that only an edge may set. A backend that
// believes one of them must be able to: whatever a client sends under these names is removed.
var (
	edgeNames = map[string]bool{
		"forwarded": true, "client-ip": true, "x-client-ip": true, "x-cluster-client-ip": true, "true-client-ip": true,
		"cf-connecting-ip": true, "cf-connecting-ipv6": true, "cf-ipcountry": true, "cf-visitor": true, "fastly-client-ip": true,
		"x-request-id": true, "x-scheme": true, "x-url-scheme": true, "front-end-https": true,
		"proxy":          true, // httpoxy: CGI makes HTTP_PROXY of it
		"http2-settings": true,
	}
	edgePrefixes = []string{
		"x-forwarded", "x-real-", "x-original-", "x-rewrite-", "remote-", "x-remote-", "x-auth-request-", "x-authenticated-",
		"x-webauth-", "x-authentik-", "x-pomerium-", "x-ssl-", "ssl-client-", "x-client-cert", "x-envoy-",
		"cf-access-", "warren-", "x-goog-authenticated-", "x-goog-iap-", "x-amzn-oidc-", "x-ms-client-principal", "x-warren-",
	}
)

// RemoveEdgeFields deletes what a client may not say, in every spelling. Names with anything but
// letters, digits and hyphens go whatever they say: CGI, WSGI, PHP and others turn "_" and "-" into
// the same, so X_Forwarded_For or Content_Length would come out as the field it only looks like.
func RemoveEdgeFields(h http.Header) {
	for name := range h {
		if ambiguous(name) || edgeField(strings.ToLower(name)) {
			delete(h, name)
		}
	}
}

func ambiguous(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c == '_' || c == '.' || c == '~' || c != '-' && !unreserved(c) {
			return true
		}
	}
	return name == ""
}

func edgeField(lower string) bool {
	if edgeNames[lower] {
		return true
	}
	for _, p := range edgePrefixes {
		if strings.HasPrefix(lower, p) {
			return true
		}
	}
	return false
}

// ownCookies is how the names of a node's own cookies begin.
const ownCookies = "__host-warren-"

// RemoveEdgeCookies deletes the node's own cookies from a request: a target that could read them could be their user.
func RemoveEdgeCookies(h http.Header) {
	lines := h["Cookie"]
	if !slices.ContainsFunc(lines, mayHaveOwn) {
		return
	}
	var left []string
	for _, line := range lines {
		var keep []string
		for part := range strings.SplitSeq(line, ";") {
			if part = strings.Trim(part, " \t"); part != "" && !ownCookie(part) {
				keep = append(keep, part)
			}
		}
		if len(keep) > 0 {
			left = append(left, strings.Join(keep, "; "))
		}
	}
	if len(left) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = left
}

// RemoveSetEdgeCookies deletes from an answer what would set a cookie of the node's own.
func RemoveSetEdgeCookies(h http.Header) {
	if lines := h["Set-Cookie"]; slices.ContainsFunc(lines, ownCookie) {
		h["Set-Cookie"] = slices.DeleteFunc(slices.Clone(lines), ownCookie)
	}
}

func ownCookie(pair string) bool {
	name, _, _ := strings.Cut(pair, "=")
	return startsOwn(strings.Trim(name, " \t"))
}

// startsOwn and mayHaveOwn know the name in upper and lower case, and make no copy of what every request of a visitor has.
func startsOwn(s string) bool {
	return len(s) >= len(ownCookies) && strings.EqualFold(s[:len(ownCookies)], ownCookies)
}

func mayHaveOwn(line string) bool {
	for {
		i := strings.Index(line, ownCookies[:2])
		if i < 0 {
			return false
		}
		if startsOwn(line[i:]) {
			return true
		}
		line = line[i+1:]
	}
}
