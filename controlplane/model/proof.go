package model

// ProofLabel stands before a domain, or before a name above it, where the DNS says whose it is.
const ProofLabel = "_warren-challenge"

// ProofValue is what a TXT record there says of the domains of an organization. The ID was drawn at random and is no secret:
// what proves something is who can write it there.
func ProofValue(org OrgID) string { return "warren-organization=" + org.String() }
