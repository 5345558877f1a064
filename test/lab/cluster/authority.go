package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

// Addresses of the certificate authority.
const (
	caHost   = "198.18.3.2"
	caListen = caHost + ":14000"
)

// StartAuthority starts Pebble on a host of its own, behind the client's resolver, and makes it the issuer "pebble".
// The program that calls it becomes Pebble.
func (c *Cluster) StartAuthority(ctx context.Context, cfg acmetest.Config) error {
	cfg.DNS, cfg.Listen, cfg.Management = c.Client.Addr.String()+":53", caListen, caHost+":15000"
	program, env, roots, err := cfg.Command()
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	err = c.Lab.Try(func() error {
		h := c.Lab.Host("ca", caHost)
		h.Start("pebble", env, program)
		return nil
	})
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	body, err := json.Marshal(map[string]any{"name": "pebble", "directory_url": "https://" + caListen + "/dir", "roots_pem": string(roots),
		"profiles": map[string]string{"default": "default"}, "limits": map[string]int{"new_orders": 100_000, "per_domain": 100_000, "per_set": 100_000}})
	if err != nil {
		return err
	}
	return c.API(ctx, "POST", "/api/v1/issuers", strings.NewReader(string(body)), nil)
}
