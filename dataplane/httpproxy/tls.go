package httpproxy

import (
	"crypto/tls"

	"github.com/warrenedge/warren/dataplane/terminate"
)

// tlsConfig is the one configuration of every handshake. What differs by name is looked up in the
// table of the moment.
func tlsConfig(current func() *table, tickets *terminate.Tickets) *tls.Config {
	return terminate.Config(func(name string) (terminate.Choice, *terminate.Clients) {
		if r := current().match(name); r != nil {
			return r.certs, r.clients
		}
		return nil, nil
	}, tickets, "h2", "http/1.1")
}
