package model

import "time"

// Batch is a step of the configuration: the rows that changed after From, as they are at To. A nil row
// is a deleted one. With Reload it is everything there is at To, and From means nothing.
type Batch struct {
	From, To    Revision
	CommittedAt time.Time // of To, by the database's clock
	Reload      bool

	Organizations map[OrgID]*Organization
	Regions       map[RegionID]*Region
	Pools         map[PoolID]*Pool
	Nodes         map[NodeID]*Node
	Sites         map[SiteID]*Site
	Connectors    map[ConnectorID]*Connector
	Services      map[ServiceID]*Service
	Targets       map[TargetID]*Target
	Domains       map[DomainID]*Domain
	Certificates  map[CertificateID]*Certificate
	GossipKeys    map[GossipKeyID]*GossipKey
	Challenges    map[ChallengeID]*Challenge
	TicketKeys    map[TicketKeyID]*TicketKey
	Policies      map[PolicyID]*Policy
	Issuers       map[IssuerID]*Issuer // how they are doing may be of another moment
	AccessKeys    map[AccessKeyID]*AccessKey
	Revocations   map[RevocationID]*AccessRevocation
	Authorities   map[string][]byte // kind -> certificate as PEM
	SignInURL     *string           // where browsers sign in, "" for nowhere; nil: as before
}
