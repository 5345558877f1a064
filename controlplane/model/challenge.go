package model

import (
	"fmt"
	"log/slog"
	"time"
)

// ChallengeType is how a certificate authority wants to see that a name is ours (RFC 8555 §8, RFC 8737).
type ChallengeType string

// Types of challenge.
const (
	DNS01     ChallengeType = "dns-01"      // a TXT record below _acme-challenge
	HTTP01    ChallengeType = "http-01"     // a file on port 80
	TLSALPN01 ChallengeType = "tls-alpn-01" // a certificate in a handshake on port 443
)

// ChallengeLifetime is for how long nodes answer a challenge unless its order says otherwise.
const ChallengeLifetime = 10 * time.Minute

// ChallengeLabel is below a name where its dns-01 challenges are answered.
const ChallengeLabel = "_acme-challenge"

// Challenge is one answer that nodes give to a certificate authority. A name may have several at once: an apex
// and its wildcard share one.
type Challenge struct {
	ID      ChallengeID
	Org     OrgID
	Order   OrderID
	Type    ChallengeType
	Name    string // the identifier without "*.", canonical; in a domain of the same organization
	Token   string
	Value   Authorization
	Expires time.Time // from then on no node answers it
	Meta
}

// Authorization is what a challenge is answered with: of dns-01 the text of the record, of http-01 the key
// authorization, of tls-alpn-01 the digest in the certificate as base64url. It is no secret once it is
// published, but who reads it in a log before may answer in our place: it does not print.
type Authorization string

// Format writes a placeholder.
func (Authorization) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[authorization]")) }

// LogValue is a placeholder.
func (Authorization) LogValue() slog.Value { return slog.StringValue("[authorization]") }

// MarshalText is a placeholder: whoever means to tell it converts it.
func (Authorization) MarshalText() ([]byte, error) { return []byte("[authorization]"), nil }
