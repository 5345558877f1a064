package admin

import (
	"context"
	"slices"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/peerconfig"
	"github.com/warrenedge/warren/shared/wgkey"
)

// WireGuardKeySpec says which key the device of a WireGuard site has from now on.
type WireGuardKeySpec struct {
	PublicKey string `json:"public_key,omitempty" maxLength:"64" doc:"Public key of a pair that the device has made, in base64; absent: a pair is made here, and its private key is shown once"`
}

// WireGuard is what the device of a WireGuard site is configured with.
type WireGuard struct {
	Site          string          `json:"site"`
	Address       string          `json:"address" doc:"Address of the device in the tunnels, the same on all nodes"`
	PublicKey     string          `json:"public_key,omitempty" doc:"Absent while there is none"`
	PrivateKey    string          `json:"private_key,omitempty" doc:"Of a pair that this call has made; it is shown once and kept nowhere"`
	Keepalive     int             `json:"persistent_keepalive_seconds"`
	MTU           int             `json:"mtu"`
	Nodes         []WireGuardNode `json:"nodes" doc:"Tunnels of the configuration, most preferred first. All are up at once: no node's end needs a change at the device"`
	Configuration string          `json:"configuration" doc:"The same as wg-quick(8) and the apps of WireGuard read it; without a private key unless it is shown here"`
	QR            []byte          `json:"qr_png,omitempty" doc:"The configuration as a QR code for the apps of WireGuard, a PNG image; with a private key only, as they take none without"`
}

// WireGuardNode is one tunnel of a device.
type WireGuardNode struct {
	Node      string `json:"node"`
	PublicKey string `json:"public_key"`
	Endpoint  string `json:"endpoint"`
	Address   string `json:"address" doc:"From where the node dials inside the tunnel, and all that the device has to route there"`
}

// WireGuard shows the configuration for the device of a WireGuard site; with node, by name or id, the tunnel to that
// one alone, for devices that can have no more.
func (a *Admin) WireGuard(ctx context.Context, p access.Principal, org, ref, node string) (out WireGuard, err error) {
	k := a.Sites
	err = a.read(ctx, p, func(c *call) error {
		if err := k.begin(c, k.read, org); err != nil {
			return err
		}
		s, err := wireGuardSite(c, ref)
		if err != nil {
			return err
		}
		out, err = c.wireGuard(s, wgkey.Private{}, node)
		return err
	})
	return out, err
}

// RotateWireGuard gives the device of a WireGuard site a key, its first or another one. The old one is good no more
// where the revision is applied.
func (a *Admin) RotateWireGuard(ctx context.Context, p access.Principal, org, ref, node string, spec WireGuardKeySpec) (out WireGuard, rev model.Revision, err error) {
	rev, err = a.Sites.do(ctx, p, org, "rotate-wireguard", func(c *call) error {
		s, err := wireGuardSite(c, ref)
		if err != nil {
			return err
		}
		var made wgkey.Private
		if spec.PublicKey != "" {
			s.PeerKey, err = peerKey("public_key", spec.PublicKey)
		} else if made, err = wgkey.New(); err == nil {
			s.PeerKey = made.Public()
		}
		if err != nil {
			return err
		}
		if _, err := c.tx.UpdateSite(c, s); err != nil {
			return err
		}
		a.Sites.did(c, "rotate-wireguard", s)
		out, err = c.wireGuard(s, made, node)
		return err
	})
	return out, rev, err
}

func wireGuardSite(c *call, ref string) (*model.Site, error) {
	s, err := siteByRef(c, ref)
	if err == nil && s.Kind != model.WireGuardSite {
		err = fault.New(fault.Conflict, "site %s is a %s site: only the device of a wireguard site is configured like this", s.Name, s.Kind)
	}
	return s, err
}

func peerKey(field, text string) (wgkey.Public, error) {
	k, err := wgkey.ParsePublic(text)
	if err == nil && k.IsZero() {
		return k, fault.Field(field, "zero: that is nobody's")
	}
	if err != nil {
		return k, fault.Field(field, "want a WireGuard public key, 32 bytes in base64")
	}
	return k, nil
}

// wireGuard describes a site's device.
func (c *call) wireGuard(s *model.Site, private wgkey.Private, only string) (WireGuard, error) {
	out := WireGuard{Site: s.Name, Keepalive: peerconfig.Keepalive, MTU: peerconfig.MTU}
	nodes, err := c.tunnelsOf(s, only)
	if err != nil {
		return out, err
	}
	cfg := peerconfig.Config{Site: s.Name, Public: s.PeerKey, Private: private, Address: model.OverlayAddress(s.ID)}
	for _, n := range nodes {
		t := peerconfig.Tunnel{Node: n.Name, Key: n.WireGuardKey, Endpoint: n.WireGuard().String(), Address: model.OverlayAddress(n.ID)}
		cfg.Tunnels = append(cfg.Tunnels, t)
		out.Nodes = append(out.Nodes, WireGuardNode{t.Node, t.Key.String(), t.Endpoint, t.Address.String()})
	}
	out.Address, out.Configuration = cfg.Address.String(), cfg.Text()
	if !s.PeerKey.IsZero() {
		out.PublicKey = s.PeerKey.String()
	}
	if !private.IsZero() {
		out.PrivateKey = cfg.RevealPrivate()
		out.QR, err = peerconfig.PNG(out.Configuration)
	}
	return out, err
}

// tunnelsOf are the nodes to which a device keeps tunnels: so many as its site wants, or the one that is asked for.
func (c *call) tunnelsOf(s *model.Site, only string) ([]*model.Node, error) {
	rows, err := c.tx.ListNodesOfPool(c, s.Pool)
	if err != nil {
		return nil, err
	}
	nodes := slices.DeleteFunc(model.Assign(s, rows), func(n *model.Node) bool { return n.WireGuard().IsZero() })
	if only != "" {
		i := slices.IndexFunc(nodes, func(n *model.Node) bool { return n.Name == only || n.ID.String() == only })
		if i < 0 {
			return nil, fault.Field("node", "%q is no node that serves site %s", only, s.Name)
		}
		return nodes[i : i+1], nil
	}
	if len(nodes) == 0 {
		return nil, fault.New(fault.Conflict, "the pool of site %s has no node yet whose WireGuard endpoint is known", s.Name)
	}
	return nodes[:min(len(nodes), s.Tunnels)], nil
}
