package cluster

import (
	"context"
	"fmt"
	"net/netip"
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
		var family string
		s.Net, s.Connector, family = c.network(i, name)
		c.Sites = append(c.Sites, s)
		c.Disks[name] = c.Lab.Disk(filepath.Join(c.Dir, name), stateDisk)
		if _, err := c.Warren("create", "site", name, "--pool", "default", "--tunnels", "2"); err != nil {
			return err
		}
		token := filepath.Join(c.Dir, name+".token")
		if _, err := c.Warren("site", "join", name, name+"-con", "--token-file", token); err != nil {
			return err
		}
		conf, err := c.Write(name+".yaml", fmt.Sprintf(`name: %s-con
state_dir: %s
control: [%s]
token_file: %s
tunnel: netstack # as without privileges
`, name, filepath.Join(c.Dir, name), control(family), token))
		if err != nil {
			return err
		}
		s.Proc = s.Connector.Start(name+"-con", nil, c.bin("warren-connector"), "--config", conf)
	}
	return nil
}
