package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/uuid"
)

// An ID is a UUIDv7 whose type says what it identifies. Its text form is a TypeID: the kind's
// prefix, an underscore and 26 characters of lower-case Crockford base32, "site_01jd…".
type ID[K kind] struct{ uuid.UUID }

type kind interface{ prefix() string }

type (
	orgKind       struct{}
	apiKeyKind    struct{}
	regionKind    struct{}
	poolKind      struct{}
	nodeKind      struct{}
	siteKind      struct{}
	connectorKind struct{}
	serviceKind   struct{}
	targetKind    struct{}
	domainKind    struct{}
	certKind      struct{}
	joinTokenKind struct{}
	gossipKeyKind struct{}
	challengeKind struct{}
	ticketKeyKind struct{}
	orderKind     struct{}
	userKind      struct{}
	roleKind      struct{}
	groupKind     struct{}
	sessionKind   struct{}
	accountKind   struct{}

	policyKind       struct{}
	shareLinkKind    struct{}
	serviceTokenKind struct{}
	accessKeyKind    struct{}
	mailCodeKind     struct{}
	visitorKind      struct{}
	revocationKind   struct{}
)

func (orgKind) prefix() string        { return "org" }
func (apiKeyKind) prefix() string     { return "key" }
func (regionKind) prefix() string     { return "region" }
func (poolKind) prefix() string       { return "pool" }
func (nodeKind) prefix() string       { return "node" }
func (siteKind) prefix() string       { return "site" }
func (connectorKind) prefix() string  { return "connector" }
func (serviceKind) prefix() string    { return "service" }
func (targetKind) prefix() string     { return "target" }
func (domainKind) prefix() string     { return "domain" }
func (certKind) prefix() string       { return "cert" }
func (joinTokenKind) prefix() string  { return "join" }
func (gossipKeyKind) prefix() string  { return "gossipkey" }
func (challengeKind) prefix() string  { return "challenge" }
func (ticketKeyKind) prefix() string  { return "ticketkey" }
func (orderKind) prefix() string      { return "order" }
func (userKind) prefix() string       { return "user" }
func (roleKind) prefix() string       { return "role" }
func (groupKind) prefix() string      { return "group" }
func (sessionKind) prefix() string    { return "session" }
func (accountKind) prefix() string    { return "account" }
func (accessKeyKind) prefix() string  { return "accesskey" }
func (mailCodeKind) prefix() string   { return "mailcode" }
func (visitorKind) prefix() string    { return "visitor" }
func (revocationKind) prefix() string { return "revocation" }

func (policyKind) prefix() string       { return "policy" }
func (shareLinkKind) prefix() string    { return "link" }
func (serviceTokenKind) prefix() string { return "token" }

// The kinds of ID.
type (
	OrgID         = ID[orgKind]
	APIKeyID      = ID[apiKeyKind]
	RegionID      = ID[regionKind]
	PoolID        = ID[poolKind]
	NodeID        = ID[nodeKind]
	SiteID        = ID[siteKind]
	ConnectorID   = ID[connectorKind]
	ServiceID     = ID[serviceKind]
	TargetID      = ID[targetKind]
	DomainID      = ID[domainKind]
	CertificateID = ID[certKind]
	JoinTokenID   = ID[joinTokenKind]
	GossipKeyID   = ID[gossipKeyKind]
	ChallengeID   = ID[challengeKind]
	TicketKeyID   = ID[ticketKeyKind]
	OrderID       = ID[orderKind] // of a certificate, at its authority
	RevocationID  = ID[revocationKind]
	MailCodeID    = ID[mailCodeKind]
	VisitorID     = ID[visitorKind] // of who was mailed a code
	AccessKeyID   = ID[accessKeyKind]
	UserID        = ID[userKind]
	RoleID        = ID[roleKind]
	GroupID       = ID[groupKind]
	SessionID     = ID[sessionKind] // of a user who has signed in
	AccountID     = ID[accountKind] // of a service account

	PolicyID       = ID[policyKind]
	ShareLinkID    = ID[shareLinkKind]
	ServiceTokenID = ID[serviceTokenKind]
)

// New makes a fresh ID: SiteID{}.New(). IDs made later sort later. It panics only if the system has
// no randomness.
func (ID[K]) New() ID[K] { return ID[K]{uuid.Must(uuid.NewV7())} }

const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// String is the typed text form; "" for the zero ID.
func (id ID[K]) String() string {
	if id.IsZero() {
		return ""
	}
	var k K
	return k.prefix() + "_" + encode32(id.UUID)
}

// IsZero reports whether the ID is unset.
func (id ID[K]) IsZero() bool { return id.UUID == uuid.Nil }

// Compare orders IDs by their bytes, which is by age.
func (id ID[K]) Compare(o ID[K]) int { return bytes.Compare(id.UUID[:], o.UUID[:]) }

// MarshalText writes the typed text form.
func (id ID[K]) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the typed text form; the empty text is the zero ID, as MarshalText writes it.
func (id *ID[K]) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID[K]{}
		return nil
	}
	v, err := ID[K]{}.Parse(string(b))
	if err == nil {
		*id = v
	}
	return err
}

// Parse reads the typed text form of the receiver's kind: SiteID{}.Parse("site_…").
func (ID[K]) Parse(s string) (ID[K], error) {
	var k K
	rest, ok := strings.CutPrefix(s, k.prefix()+"_")
	if !ok {
		return ID[K]{}, fmt.Errorf("%q is no %s id: want %s_…", s, k.prefix(), k.prefix())
	}
	u, err := decode32(rest)
	if err != nil {
		return ID[K]{}, fmt.Errorf("%q is no %s id: %w", s, k.prefix(), err)
	}
	if u == uuid.Nil {
		return ID[K]{}, fmt.Errorf("%q is no %s id: it stands for none", s, k.prefix())
	}
	return ID[K]{u}, nil
}

// encode32 writes 128 bits as 26 characters, the first of which carries 3 bits (TypeID 0.3).
func encode32(u uuid.UUID) string {
	var out [26]byte
	hi, lo := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		hi, lo = hi>>5, lo>>5|hi<<59
	}
	return string(out[:])
}

func decode32(s string) (uuid.UUID, error) {
	var u uuid.UUID
	if len(s) != 26 {
		return u, fmt.Errorf("%d characters after the prefix, want 26", len(s))
	}
	if s[0] > '7' {
		return u, fmt.Errorf("more than 128 bits")
	}
	var hi, lo uint64
	for i := range len(s) {
		v := strings.IndexByte(crockford, s[i])
		if v < 0 {
			return u, fmt.Errorf("character %q", s[i])
		}
		hi, lo = hi<<5|lo>>59, lo<<5|uint64(v)
	}
	binary.BigEndian.PutUint64(u[:8], hi)
	binary.BigEndian.PutUint64(u[8:], lo)
	return u, nil
}

// Overlay is the unique local prefix (RFC 4193) of Warren's overlay, the same everywhere: overlays of
// different clusters never meet.
var Overlay = netip.MustParsePrefix("fd57:6172:7265::/48")

// OverlayAddress is where a node, a connector or a WireGuard site is reached inside the tunnels: the overlay prefix, 16
// bits for the kind, and the 64 low bits of its UUIDv7, 62 of which are random.
func OverlayAddress[K kind](id ID[K]) netip.Addr {
	a := Overlay.Addr().As16()
	var k K
	switch any(k).(type) {
	case nodeKind:
		a[7] = 1
	case connectorKind:
		a[7] = 2
	case siteKind: // of the peer that a WireGuard site is
		a[7] = 3
	}
	copy(a[8:], id.UUID[8:])
	return netip.AddrFrom16(a)
}
