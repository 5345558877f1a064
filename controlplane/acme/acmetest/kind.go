package acmetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Kind is what a request asks a CA for.
type Kind string

// Kinds of requests, told apart by Pebble's paths.
const (
	DirectoryRead Kind = "directory"
	NewNonce      Kind = "new-nonce"
	NewAccount    Kind = "new-account"
	AccountRead   Kind = "account"
	OrdersRead    Kind = "orders"
	NewOrder      Kind = "new-order"
	OrderRead     Kind = "order"
	Finalize      Kind = "finalize"
	AuthzRead     Kind = "authorization"
	Initiate      Kind = "initiate"
	ChallengeRead Kind = "challenge"
	Download      Kind = "certificate"
	Revoke        Kind = "revoke"
	KeyChange     Kind = "key-change"
	RenewalInfo   Kind = "renewal-info"
	Unknown       Kind = "unknown"
)

var paths = []struct {
	prefix string
	kind   Kind
}{
	{"/dir", DirectoryRead}, {"/nonce-plz", NewNonce}, {"/sign-me-up", NewAccount}, {"/my-account/", AccountRead}, {"/list-orderz/", OrdersRead},
	{"/order-plz", NewOrder}, {"/my-order/", OrderRead}, {"/finalize-order/", Finalize}, {"/authZ/", AuthzRead}, {"/chalZ/", Initiate},
	{"/certZ/", Download}, {"/revoke-cert", Revoke}, {"/rollover-account-key", KeyChange}, {"/draft-ietf-acme-ari-03/renewalInfo/", RenewalInfo},
}

// asked is what the Proxy understands of a request.
type asked struct {
	kind    Kind
	account string // kid, or the hash of the public key in its place; empty: not signed
	path    string
	began   time.Time // zero: nobody watches it
	names   string    // of new-order: sorted, joined by commas

	replaces string // of new-order: the certificate that it says it replaces
}

func read(r *http.Request, body []byte) asked {
	a := asked{kind: Unknown, path: r.URL.Path}
	for _, p := range paths {
		if strings.HasPrefix(a.path, p.prefix) {
			a.kind = p.kind
			break
		}
	}
	var jws struct{ Protected, Payload string }
	if json.Unmarshal(body, &jws) != nil {
		return a
	}
	var head struct {
		Kid string
		Jwk json.RawMessage
	}
	decode(jws.Protected, &head)
	if a.account = head.Kid; a.account == "" && len(head.Jwk) > 0 {
		sum := sha256.Sum256(head.Jwk)
		a.account = "key " + hex.EncodeToString(sum[:8])
	}
	if a.kind == Initiate && jws.Payload == "" {
		a.kind = ChallengeRead
	}
	if a.kind == NewOrder {
		var o struct {
			Identifiers []struct{ Value string }
			Replaces    string
		}
		decode(jws.Payload, &o)
		var names []string
		for _, id := range o.Identifiers {
			names = append(names, id.Value)
		}
		slices.Sort(names)
		a.names, a.replaces = strings.Join(names, ","), o.Replaces
	}
	return a
}

func decode(s string, v any) {
	if b, err := base64.RawURLEncoding.DecodeString(s); err == nil {
		_ = json.Unmarshal(b, v) // what can't be read stays empty: Pebble will object
	}
}
