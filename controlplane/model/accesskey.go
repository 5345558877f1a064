package model

import (
	"crypto/ed25519"
	"net/netip"
	"time"
)

// AccessKeyState is how far a key of access tokens has come.
type AccessKeyState string

// States of an access key, in the order in which a key goes through them.
const (
	AccessKeyNext    AccessKeyState = "next"    // nodes learn it
	AccessKeyCurrent AccessKeyState = "current" // it signs
	AccessKeyRetired AccessKeyState = "retired" // what it has signed is still good
)

// AccessKey is a key that signs access tokens.
type AccessKey struct {
	ID        AccessKeyID
	State     AccessKeyState
	Public    ed25519.PublicKey
	SealedKey []byte // Tink AEAD over the seed, associated data: the ID's text form
	Meta
}

// AccessRevocation ends what rests on one session, or all that a subject was given until a moment. It is needed as long as a
// token can be good.
type AccessRevocation struct {
	ID      RevocationID
	Session string    // one of Session
	Subject string    // and Subject
	Stale   bool      // nothing has ended: what tokens of the subject say is to be asked anew. Then it may be an organization
	Before  time.Time // by the database's clock
	Meta
}

// VisitorLife is how long who was mailed a code may visit the service, unless its organization wants younger sessions.
const VisitorLife = 24 * time.Hour

// Visitor is somebody who has shown a code that was mailed to him, in one browser, for one service.
type Visitor struct {
	ID      VisitorID
	Org     OrgID
	Service ServiceID
	Mail    string // canonical
	Address netip.Addr
	Expires time.Time
	Meta
}
