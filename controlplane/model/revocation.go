package model

import "time"

// RevocationReason is why a certificate is revoked (RFC 5280 §5.3.1), of the reasons that authorities take.
type RevocationReason int

// Reasons.
const (
	Unspecified          RevocationReason = 0
	KeyCompromise        RevocationReason = 1 // others know the key: at once, replaced or not
	Superseded           RevocationReason = 4
	CessationOfOperation RevocationReason = 5
)

// Revocation is a certificate that its authority is to revoke, or has revoked.
type Revocation struct {
	Certificate CertificateID
	Org         OrgID
	Managed     ManagedCertificateID // what takes its place is of this one
	Issuer      IssuerID
	Leaf        []byte // DER
	Reason      RevocationReason
	NotAfter    time.Time
	NextAttempt time.Time
	Attempts    int
	Problem     string    // in the authority's own words
	AskedBy     string    // as the audit log calls him; "": not known
	Revoked     time.Time // zero: not yet
	Meta
}
