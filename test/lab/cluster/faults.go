package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/warrenedge/warren/test/lab"
)

// Faults are those that the lab knows, each where it hurts: at the first site, at the two nodes that have a tunnel to it and
// the one that has none, and at what configures them.
func (c *Cluster) Faults(outside *Node, inside []*Node) []lab.Fault {
	s, n := c.Sites[0], inside[0]
	var hosts []*lab.Host
	for _, n := range inside {
		hosts = append(hosts, n.Host)
	}
	return []lab.Fault{
		lab.Killed(c.DB), lab.Killed(c.Cache), lab.Killed(c.Control[0]), lab.Paused(c.Control[1]), dead("control plane", c.Control...),
		lab.Killed(n.Proc), lab.Paused(inside[1].Proc), lab.Parted("nodes", []*lab.Host{outside.Host}, hosts), lab.Lossy(outside.Host), lab.Full(n.Name, c.Disks[n.Name]), lab.Mistimed(n.Proc),
		lab.Killed(s.Proc), lab.Mistimed(s.Proc), lab.Severed(s.Net.Router), lab.Deaf(s.Net.Router), lab.Slow(s.Connector), s.elsewhere(),
	}
}

// dead is several programs that are killed at once.
func dead(name string, all ...*lab.Process) lab.Fault {
	return lab.Fault{Name: "kill " + name, Start: func(*rand.Rand) (string, func() error, error) {
		for _, p := range all {
			p.Kill()
		}
		return "", func() (err error) {
			for _, p := range all {
				err = errors.Join(err, p.Restart())
			}
			return err
		}, nil
	}}
}

// elsewhere is a site that has another address from one moment to the next, each time.
func (s *Site) elsewhere() lab.Fault {
	turn := 0
	return lab.Fault{Name: "another address of " + s.Name, Start: func(*rand.Rand) (string, func() error, error) {
		turn++
		return "", func() error { return nil }, s.Net.ChangeWAN(fmt.Sprintf("198.18.9.%d", turn))
	}}
}
