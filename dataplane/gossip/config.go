package gossip

import (
	"errors"
	"fmt"

	"github.com/warrenedge/warren/shared/endpoint"
)

// Peer is another node.
type Peer struct {
	ID       string
	Endpoint endpoint.Endpoint // of its gossip, over UDP and TCP. Where it is reached by a name, members still call each other by the address
}

// Config is the whole desired state.
type Config struct {
	Self     string            // id of this node
	Endpoint endpoint.Endpoint // where peers reach this node; without an address in it gossip is off
	Peers    []Peer            // without this node
	Keys     []Key             // the first seals, all open; without one gossip is off
	Draining bool
}

func (c Config) on() bool { return c.Self != "" && c.Endpoint.Addr.IsValid() && len(c.Keys) > 0 }

func (c Config) validate() error {
	var errs []error
	for i, k := range c.Keys {
		if len(k) != KeySize {
			errs = append(errs, fmt.Errorf("keys[%d]: %d bytes, want %d", i, len(k), KeySize))
		}
	}
	for i, p := range c.Peers {
		switch {
		case p.ID == "" || len(p.ID) > maxID:
			errs = append(errs, fmt.Errorf("peers[%d].id: %d bytes, want 1 to %d", i, len(p.ID), maxID))
		case p.ID == c.Self:
			errs = append(errs, fmt.Errorf("peers[%d].id: %s is this node", i, p.ID))
		case !p.Endpoint.Addr.IsValid() || p.Endpoint.Addr.Port() == 0:
			errs = append(errs, fmt.Errorf("peers[%d].endpoint: %q of %s, want ip:port", i, p.Endpoint, p.ID))
		}
	}
	return errors.Join(errs...)
}
