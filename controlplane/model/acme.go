package model

import "time"

type (
	issuerKind  struct{}
	managedKind struct{}
)

func (issuerKind) prefix() string  { return "issuer" }
func (managedKind) prefix() string { return "managedcert" }

// The kinds of ID of what certificates are ordered with.
type (
	IssuerID             = ID[issuerKind]
	ManagedCertificateID = ID[managedKind]
)

// InternalIssuer is the name of the issuer that stands for the cluster's own authority.
const InternalIssuer = "internal"

// Issuer is an authority that certificates are ordered from, with the account there (RFC 8555).
type Issuer struct {
	ID            IssuerID
	Name          string
	DirectoryURL  string // "": the cluster's own authority
	Contacts      []string
	EABKeyID      string            // external account binding, §7.3.4; "": none
	SealedEABKey  []byte            // Tink AEAD over the MAC key, associated data: EABRow
	RootsPEM      []byte            // nil: the system's
	Rank          int               // the lowest is asked first
	Profiles      map[string]string // our word, "" for the default -> the authority's
	CAAIdentities []string          // as an operator says; CAADomains is what counts
	DirectoryCAA  []string          // as the authority's directory says
	DirectoryRead time.Time
	Limits        IssuerLimits
	Suspended     bool // nothing new is ordered from it; what it has issued is served, and can be revoked

	AccountURL       string
	SealedAccountKey []byte    // Tink AEAD over the PKCS #8 PEM, associated data: the ID's text form; nil: none yet
	SealedPendingKey []byte    // the same of a rollover that is under way; nil: none is
	RolloverNext     time.Time // nobody carries the rollover on before
	RolloverProblem  string    // why it is not over, in the authority's own words
	RolledOver       time.Time // when the key was changed last; zero: never

	PausedUntil  time.Time              // nothing is asked before
	Limited      map[AskedFor]time.Time // of these kinds nothing is asked before, for nobody
	Failures     int                    // in a row
	FailingSince time.Time
	LastProblem  string
	Meta
}

// AskedFor is a kind of request that authorities limit by itself.
type AskedFor string

// Kinds of requests.
const (
	AskNewOrder    AskedFor = "new_order"
	AskRenewalInfo AskedFor = "renewal_info"
)

// OrdersFrom is from when on orders are sent to the authority; a time that has passed: now.
func (i *Issuer) OrdersFrom() time.Time {
	if until := i.Limited[AskNewOrder]; until.After(i.PausedUntil) {
		return until
	}
	return i.PausedUntil
}

// CAADomains are the domains that stand for the authority in CAA records: as an operator says, else as it says itself. None: it is not
// known.
func (i *Issuer) CAADomains() []string {
	if len(i.CAAIdentities) > 0 {
		return i.CAAIdentities
	}
	return i.DirectoryCAA
}

// Internal reports whether this is the cluster's own authority.
func (i *Issuer) Internal() bool { return i.DirectoryURL == "" }

// EABRow is what the key of the external account binding is sealed for.
func (i *Issuer) EABRow() string { return i.ID.String() + "/eab" }

// IssuerLimits are what an authority lets one account do. Zero fields are Let's Encrypt's.
type IssuerLimits struct {
	NewOrders         int `json:"new_orders,omitempty"`         // in 3 hours
	PerDomain         int `json:"per_domain,omitempty"`         // certificates of a registered domain, in 7 days
	PerSet            int `json:"per_set,omitempty"`            // certificates of exactly the same names, in 7 days
	FailedValidations int `json:"failed_validations,omitempty"` // of a name, in an hour
}

// KeyType is what kind of key a certificate is for.
type KeyType string

// Types of key.
const (
	ECDSA KeyType = "ecdsa" // P-256
	RSA   KeyType = "rsa"   // 2048 bits
)

// KeyTypes are all types of key, the one that is preferred first.
var KeyTypes = []KeyType{ECDSA, RSA}

// ManagedCertificate is a set of names that is kept in a certificate. It always has a next attempt.
type ManagedCertificate struct {
	ID          ManagedCertificateID
	Org         OrgID
	Names       []string // canonical patterns, sorted
	KeyType     KeyType
	Profile     string        // our word; "": the issuer's default
	Issuer      IssuerID      // zero: by rank
	Wanted      bool          // false: no service needs it any more
	Certificate CertificateID // the newest; zero: none yet
	RenewAt     time.Time     // chosen when the certificate came, or by ARI; zero: no certificate yet
	ARIStart    time.Time     // the window that the authority suggests (RFC 9773); zero: none
	ARIEnd      time.Time
	ARIPollAt   time.Time // zero: there is nothing to ask about

	NextAttempt  time.Time
	LadderStep   int    // failures in a row
	LastProblem  string // in the authority's own words
	FailingSince time.Time
	Held         map[IssuerID]Hold // issuers that are passed over for a while
	Meta
}

// Hold is until when a certificate is not ordered from an issuer.
type Hold struct {
	Until time.Time  `json:"until"`
	Why   HoldReason `json:"why"`
}

// HoldReason is why an issuer is passed over.
type HoldReason string

// Reasons.
const (
	HeldByLimit HoldReason = "limit" // it has asked to wait, and is asked nothing of these names before
	HeldByCAA   HoldReason = "caa"   // it may not issue: asked again when nobody else may either
)

// OrderState is how far an order has come.
type OrderState string

// States of an order, in the order in which it goes through them.
const (
	OrderPlanned           OrderState = "planned"            // nobody has been asked yet, or it isn't known what came of it
	OrderOrdered           OrderState = "ordered"            // the authority has it
	OrderChallengesWritten OrderState = "challenges_written" // rows that are on their way to the nodes
	OrderNodesAcked        OrderState = "nodes_acked"        // all who are asked would answer
	OrderInitiated         OrderState = "initiated"          // the authority has been told to look
	OrderReady             OrderState = "ready"              // it is convinced
	OrderFinalized         OrderState = "finalized"          // it has our request
	OrderDownloaded        OrderState = "downloaded"         // we have its certificate
	OrderPublished         OrderState = "published"          // nodes are told
	OrderAcked             OrderState = "acked"              // they all have it
	OrderFailed            OrderState = "failed"
)

// OrderAbandoned is the class of an order that ended without anybody's failure.
const OrderAbandoned = "abandoned"

// Final reports whether an order in this state is over.
func (s OrderState) Final() bool { return s == OrderAcked || s == OrderFailed }

// Order is one order at an authority.
type Order struct {
	ID          OrderID
	Org         OrgID
	Managed     ManagedCertificateID
	Issuer      IssuerID // zero: it was deleted since the order was over
	Names       []string // sorted
	KeyType     KeyType
	Profile     string // the authority's word; "": it knows none
	Renewal     bool
	Replaces    string        // RFC 9773 §4.1; "": nothing
	Certificate CertificateID // of the row that will be: the key is sealed for it
	State       OrderState
	Intent      time.Time // newOrder may have been sent since; zero: it was not
	URL         string
	CSR         []byte
	SealedKey   []byte // Tink AEAD over the PKCS #8 PEM, associated data: Certificate's text form
	ChainPEM    []byte

	ChallengeRevision Revision
	PublishRevision   Revision

	Attempts    int // in this state, without success
	Class       string
	Problem     string // in the authority's own words
	NextAttempt time.Time
	LeaseHolder string
	LeaseUntil  time.Time
	Fence       int64 // who may write
	Finished    time.Time
	Meta
}

// OrderEvent is a line in the timeline of an order.
type OrderEvent struct {
	Order   OrderID
	At      time.Time
	State   OrderState
	What    string
	Problem string
}

// BudgetKind is what a bucket counts.
type BudgetKind string

// Kinds of budget.
const (
	BudgetNewOrders         BudgetKind = "new_orders"         // of the account; the key is ""
	BudgetDomain            BudgetKind = "domain"             // certificates of a registered domain
	BudgetSet               BudgetKind = "set"                // certificates of exactly the same names, joined by spaces
	BudgetFailedValidations BudgetKind = "failed_validations" // of a name
)

// BucketKey says which bucket of an issuer's account.
type BucketKey struct {
	Kind BudgetKind
	Key  string
}

// Bucket is what is left of a budget at a moment.
type Bucket struct {
	BucketKey
	Tokens float64
	At     time.Time
}
