package terminate

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/tls"
	"slices"
	"time"
)

// Choice is the certificates of one name, with keys of different types, the one that is preferred first.
type Choice []*tls.Certificate

// NewChoice puts ECDSA first, whose handshakes cost a node a tenth of RSA's. The rest stays as it comes.
func NewChoice(all ...*tls.Certificate) Choice {
	rank := func(c *tls.Certificate) int {
		if c.Leaf != nil {
			if _, ok := c.Leaf.PublicKey.(*ecdsa.PublicKey); ok {
				return 0
			}
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b *tls.Certificate) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

// pick gives the first certificate that a client can use and that is valid now, else the first that it can use, else the
// first: what is wrong the client knows best. It is nil if there is none.
func (all Choice) pick(hello *tls.ClientHelloInfo, now time.Time) *tls.Certificate {
	if len(all) == 0 {
		return nil
	}
	if len(all) == 1 {
		return all[0]
	}
	var usable *tls.Certificate
	for _, c := range all {
		if hello.SupportsCertificate(c) != nil {
			continue
		}
		if c.Leaf != nil && !now.Before(c.Leaf.NotBefore) && now.Before(c.Leaf.NotAfter) {
			return c
		}
		usable = cmp.Or(usable, c)
	}
	return cmp.Or(usable, all[0])
}
