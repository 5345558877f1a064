package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/warrenedge/warren/test/lab"
)

// six reports whether there is IPv6.
func (c Config) six() bool {
	return slices.ContainsFunc(c.Families, func(f string) bool { return f != "4" })
}

// addrs are those of a host on the internet.
func (c Config) addrs(v4, v6 string) []string {
	if c.six() {
		return []string{v4, v6}
	}
	return []string{v4}
}

// control is the push port as a site or a node has it in its settings.
func control(family string) string {
	v4, v6 := `"198.18.1.10:8443"`, `"[2001:db8:1::10]:8443"`
	switch family {
	case "4":
		return v4
	case "6":
		return v6
	}
	return v4 + ", " + v6
}

func (c *Cluster) startNodes(context.Context) error {
	for i := range c.cfg.Nodes {
		name := fmt.Sprintf("n%d", i+1)
		n := &Node{Name: name, Host: c.Lab.Host(name, c.cfg.addrs(fmt.Sprintf("198.18.2.%d", i+1), fmt.Sprintf("2001:db8:2::%d", i+1))...)}
		c.Nodes = append(c.Nodes, n)
		c.Disks[name] = c.Lab.Disk(filepath.Join(c.Dir, name), stateDisk)
		token := filepath.Join(c.Dir, name+".token")
		if _, err := c.Warren("node", "join", name, "--token-file", token); err != nil {
			return err
		}
		// Connectors know one address of a node: if there is IPv6 among them, everybody has to use that.
		https, addrs := fmt.Sprintf("%s:443", n.Host.Addr), n.Host.Addrs()
		reached := addrs[len(addrs)-1]
		if c.cfg.six() {
			https = "[::]:443"
		}
		conf, err := c.Write(name+".yaml", fmt.Sprintf(`name: %s
state_dir: %s
control: ["198.18.1.10:8443"]
token_file: %s
public_addresses: ["%[4]s"]
wireguard_endpoint: "%[5]s"
stream_endpoint: "%[6]s"
tunnel: %[7]s
listen:
  https: "%[8]s"
  dns: "%[4]s:53"
  wireguard: 51820
  admin: 127.0.0.1:9090
`, name, filepath.Join(c.Dir, name), token, n.Host.Addr, netip.AddrPortFrom(reached, 51820), netip.AddrPortFrom(reached, 443), c.cfg.Tunnels[i%len(c.cfg.Tunnels)], https))
		if err != nil {
			return err
		}
		n.Proc = n.Host.Start(name, nil, c.bin("warren-node"), "--config", conf)
	}
	return nil
}

// Keep has a node's sockets kept open from its next start on, as by a service manager. It must not run.
func (n *Node) Keep() error {
	var names []string
	var kept []*os.File
	for _, s := range []struct {
		name   string
		stream bool
		port   int
	}{{"https", true, 443}, {"dns", false, 53}, {"dns", true, 53}, {"gossip", false, 7946}, {"gossip", true, 7946}} {
		var socket interface{ File() (*os.File, error) }
		if s.stream {
			socket = n.Host.Listen(s.port).(interface{ File() (*os.File, error) })
		} else {
			socket = n.Host.ListenUDP(s.port)
		}
		f, err := socket.File()
		if err != nil {
			return fmt.Errorf("keep the socket %s of %s: %w", s.name, n.Name, err)
		}
		names, kept = append(names, s.name), append(kept, f)
	}
	n.Proc.Keep(names, kept)
	return nil
}

// network makes a site's private network and its connector's machine.
func (c *Cluster) network(i int, name string) (net *lab.Site, connector *lab.Host, family string) {
	family = c.cfg.Families[i%len(c.cfg.Families)]
	wan4, lan4, con4 := fmt.Sprintf("198.18.5.%d", i+1), fmt.Sprintf("10.77.%d.0/24", i+1), fmt.Sprintf("10.77.%d.2", i+1)
	wan6, lan6, con6 := fmt.Sprintf("2001:db8:5::%d", i+1), fmt.Sprintf("fd00:77:%d::/64", i+1), fmt.Sprintf("fd00:77:%d::2", i+1)
	switch family {
	case "6":
		net = c.Lab.Site(name, wan6, lan6)
		return net, net.Host(name+"-con", con6), family
	case "46":
		net = c.Lab.Site(name, wan4, lan4)
		net.Also(wan6, lan6)
		return net, net.Host(name+"-con", con4, con6), family
	}
	net = c.Lab.Site(name, wan4, lan4)
	return net, net.Host(name+"-con", con4), family
}

func (c *Cluster) startSites(context.Context) error {
	for i := range c.cfg.Sites {
		name := fmt.Sprintf("s%d", i+1)
		s := &Site{Name: name}
		s.Net, s.Connector, s.family = c.network(i, name)
		c.Sites = append(c.Sites, s)
		if _, err := c.Warren("create", "site", name, "--pool", "default", "--tunnels", "2"); err != nil {
			return err
		}
		var err error
		if s.Proc, err = c.join(s, s.Connector, name); err != nil {
			return err
		}
	}
	return nil
}

// join starts a connector of a site on a host of its network; state is the name of its folder.
func (c *Cluster) join(s *Site, h *lab.Host, state string) (*lab.Process, error) {
	dir := filepath.Join(c.Dir, state)
	c.Disks[state] = c.Lab.Disk(dir, stateDisk)
	if _, err := c.Warren("site", "join", s.Name, h.Name, "--token-file", dir+".token"); err != nil {
		return nil, err
	}
	conf, err := c.Write(state+".yaml", fmt.Sprintf(`name: %s
state_dir: %s
control: [%s]
token_file: %s.token
tunnel: netstack # as without privileges
`, h.Name, dir, control(s.family), dir))
	if err != nil {
		return nil, err
	}
	return h.Start(h.Name, nil, c.bin("warren-connector"), "--config", conf), nil
}

// Second lets another connector join a site, and returns when it is up.
func (c *Cluster) Second(ctx context.Context, s *Site) (p *lab.Process, err error) {
	name := s.Name + "-con2"
	addrs := s.Connector.Addrs()
	for i, a := range addrs {
		addrs[i] = a.Next()
	}
	err = c.Lab.Try(func() error {
		p, err = c.join(s, s.Net.Host(name, texts(addrs)...), name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, c.Until(ctx, "the second connector is up", func() error {
		_, err := c.Warren("status")
		return err
	})
}

func texts(addrs []netip.Addr) (out []string) {
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}
