package cluster

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

// Addresses of the certificate authority, and of a proxy before it.
const (
	caHost       = "198.18.3.2"
	caListen     = caHost + ":14000"
	caManagement = caHost + ":15000"
	caProxy      = "198.18.3.4"
)

// StartAuthority starts Pebble on a host of its own, behind the client's resolver, and makes it the issuer "pebble".
// The program that calls it becomes Pebble.
func (c *Cluster) StartAuthority(ctx context.Context, cfg acmetest.Config) error {
	roots, err := c.startPebble(cfg)
	if err != nil {
		return err
	}
	return c.issue(ctx, cfg, "https://"+caListen+"/dir", roots)
}

// StartAuthorityBehind does the same with a proxy before Pebble, which does faults and counts; who calls it stops it.
func (c *Cluster) StartAuthorityBehind(ctx context.Context, cfg acmetest.Config, seed uint64) (*acmetest.Proxy, error) {
	rootsPEM, err := c.startPebble(cfg)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(rootsPEM)
	var p *acmetest.Proxy
	err = c.Lab.Try(func() (err error) {
		h := c.Lab.Host("ca-proxy", caProxy)
		p, err = acmetest.ServeProxy("https://"+caListen+"/dir", roots, h.Listen(14000), func(ctx context.Context, network, address string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return nil, err
			}
			return h.Dial(ctx, network, to)
		}, seed)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("proxy of the certificate authority: %w", err)
	}
	if err := c.issue(ctx, cfg, p.Directory, p.RootsPEM); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// startPebble returns who has signed the certificate of its server.
func (c *Cluster) startPebble(cfg acmetest.Config) (rootsPEM []byte, err error) {
	cfg.DNS, cfg.Listen, cfg.Management = c.Client.Addr.String()+":53", caListen, caManagement
	program, env, rootsPEM, err := cfg.Command()
	if err == nil {
		err = c.Lab.Try(func() error {
			c.Lab.Host("ca", caHost).Start("pebble", env, program)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return rootsPEM, nil
}

// issue makes the issuer.
func (c *Cluster) issue(ctx context.Context, cfg acmetest.Config, directory string, rootsPEM []byte) error {
	spec := map[string]any{
		"name": "pebble", "directory_url": directory, "roots_pem": string(rootsPEM), "profiles": map[string]string{"default": "default"}, "caa_identities": cfg.CAAIdentities,
		"limits": map[string]int{"new_orders": 100_000, "per_domain": 100_000, "per_set": 100_000},
	}
	for id, key := range cfg.EAB {
		spec["eab"] = map[string]string{"key_id": id, "hmac_key": key}
	}
	if len(cfg.CAAIdentities) == 0 { // the control plane reads them in the directory
		delete(spec, "caa_identities")
	}
	body, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return c.API(ctx, "POST", "/api/v1/issuers", strings.NewReader(string(body)), nil)
}
