//go:build e2e

package e2e

import (
	"fmt"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

// pendingKeys has an order and a change of the account's key stop where their keys are only stored: the authority fails from here on.
func (c *suite) pendingKeys(authority *acmetest.Proxy) {
	c.t.Helper()
	authority.Set(acmetest.Faults{Fail: 1, Only: []acmetest.Kind{acmetest.Finalize, acmetest.KeyChange}})
	c.warren("cert", "renew", domain)
	c.pending("SELECT count(*) FROM orders WHERE finished_at IS NULL AND sealed_key IS NOT NULL")
	c.warren("issuer", "rollover", "pebble")
	c.pending("SELECT count(*) FROM issuers WHERE sealed_pending_key IS NOT NULL")
}

func (c *suite) pending(query string) {
	c.t.Helper()
	c.ordered("one row: "+query, func() error {
		if n := c.query(query); len(n) != 1 || n[0] != "1" {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
}
