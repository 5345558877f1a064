// Package cluster starts a whole Warren cluster of the real programs on the hosts of a lab.
//
// The hosts: a database, a Valkey or Redis, control replicas behind HAProxy (which ends the TLS of people's browsers), nodes,
// sites with one connector each behind address translation, the parent of the delegated domain, and an outside client with
// unbound as its resolver. What was started ends with the lab.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// Domain is delegated to the nodes.
const Domain = "warren.test"

// Config says how large a cluster is and where its programs are. Counts left at zero are those of the tests.
type Config struct {
	Bin      string   // the folder of the four programs
	Replicas int      // of the control plane; 2
	Nodes    int      // 3
	Sites    int      // 2
	Tunnels  []string // modes of the nodes' tunnels, in turn; tun
	// Families of the sites, in turn, "4", "6" or "46"; "4". With any "6" the balancer, the nodes and the client have
	// addresses of both, and nodes are reached by IPv6.
	Families []string
	Root     string // more records of the root zone, a line each
	Patience time.Duration
}

// patience is how long the slowest step may take on a busy machine.
const patience = 60 * time.Second

// Sizes of disks, in bytes.
const (
	stateDisk    = 4 << 20
	databaseDisk = 256 << 20
)

// most of a kind is what its addresses have room for.
const most = 200

func (c Config) withDefaults() (Config, error) {
	for _, f := range []struct {
		name  string
		n     *int
		value int
	}{{"replicas", &c.Replicas, 2}, {"nodes", &c.Nodes, 3}, {"sites", &c.Sites, 2}} {
		if *f.n == 0 {
			*f.n = f.value
		}
		if *f.n < 0 || *f.n > most {
			return c, fmt.Errorf("%s: %d, want 1 to %d", f.name, *f.n, most)
		}
	}
	if len(c.Families) == 0 {
		c.Families = []string{"4"}
	}
	for _, f := range c.Families {
		if f != "4" && f != "6" && f != "46" {
			return c, fmt.Errorf("families %q: want 4, 6 or 46", f)
		}
	}
	if len(c.Tunnels) == 0 {
		c.Tunnels = []string{"tun"}
	}
	if c.Patience == 0 {
		c.Patience = patience
	}
	bin, err := filepath.Abs(c.Bin)
	if err != nil {
		return c, err
	}
	c.Bin = bin
	for _, program := range []string{"warren", "warren-control", "warren-node", "warren-connector"} {
		if _, err := os.Stat(filepath.Join(c.Bin, program)); err != nil {
			return c, fmt.Errorf("make build comes first: %w", err)
		}
	}
	return c, nil
}

// Cluster is what was started, and where.
type Cluster struct {
	Lab       *lab.Lab
	Dir       string // configuration, state and keys of everything
	Key       string // of the API
	DB, Cache *lab.Process
	Control   []*lab.Process
	Balancer  *lab.Process
	Nodes     []*Node
	Sites     []*Site
	Admin     *lab.Host
	Client    *lab.Host            // its resolver is unbound
	Disks     map[string]*lab.Disk // of the database, nodes and connectors, by the names of Process

	cfg Config
	env []string // of the warren command
}

// Node is an edge machine.
type Node struct {
	Name string
	Host *lab.Host
	Proc *lab.Process
}

// Site is a private network with its connector.
type Site struct {
	Name      string
	Net       *lab.Site
	Connector *lab.Host
	Proc      *lab.Process
	family    string // of its addresses, as Config has it
}

// Start starts a cluster in a lab and returns when every node and connector is up. It may fail the lab's test
// instead of returning an error where hosts can't be made.
func Start(ctx context.Context, l *lab.Lab, cfg Config) (*Cluster, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	c := &Cluster{Lab: l, cfg: cfg, Disks: map[string]*lab.Disk{}}
	err = l.Try(func() error {
		c.Dir = l.Folder("cluster")
		for _, step := range []func(context.Context) error{c.startDatabase, c.startCache, c.startControl, c.startNodes, c.startSites, c.startParent, c.startClient} {
			if err := errors.Join(ctx.Err(), step(ctx)); err != nil {
				return err
			}
		}
		return c.Until(ctx, "every node and connector is up", func() error {
			_, err := c.Warren("status")
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return c, nil
}

// Until waits until ok returns nil, as long as the slowest step may take.
func (c *Cluster) Until(ctx context.Context, what string, ok func() error) error {
	return lab.Wait(ctx, c.cfg.Patience, what, ok)
}

// Write writes a file of the cluster's folder and returns its path.
func (c *Cluster) Write(name, text string) (string, error) {
	path := filepath.Join(c.Dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

func (c *Cluster) bin(program string) string { return filepath.Join(c.cfg.Bin, program) }

// Become has the warren command be that of another folder from now on.
func (c *Cluster) Become(folder string) { c.cfg.Bin = folder }

// Without returns the nodes that keep no tunnel to a site's connector, and those that do.
func (c *Cluster) Without(s *Site) (outside, inside []*Node, err error) {
	var st struct {
		Nodes []struct {
			Name    string `json:"name"`
			Tunnels []struct {
				Peer string `json:"peer"`
				Up   bool   `json:"up"`
			} `json:"tunnel_states"`
		} `json:"nodes"`
		Connectors []struct {
			ID   string `json:"id"`
			Site string `json:"site"`
		} `json:"connectors"`
	}
	if err := c.JSON(&st, "status"); err != nil {
		return nil, nil, err
	}
	connector := ""
	for _, k := range st.Connectors {
		if k.Site == s.Name {
			connector = k.ID
		}
	}
	up := map[string]bool{}
	for _, n := range st.Nodes {
		for _, tn := range n.Tunnels {
			up[n.Name] = up[n.Name] || tn.Peer == connector && tn.Up
		}
	}
	for _, n := range c.Nodes {
		if up[n.Name] {
			inside = append(inside, n)
		} else {
			outside = append(outside, n)
		}
	}
	return outside, inside, nil
}

// Processes are all programs that may be killed, paused and restarted, by name.
func (c *Cluster) Processes() map[string]*lab.Process {
	all := map[string]*lab.Process{"db": c.DB, "kv": c.Cache, "lb": c.Balancer}
	for _, p := range c.Control {
		all[p.Name] = p
	}
	for _, n := range c.Nodes {
		all[n.Name] = n.Proc
	}
	for _, s := range c.Sites {
		all[s.Name] = s.Proc
	}
	return all
}

// Host finds the machine that a name means: a host's own, or a site's connector.
func (c *Cluster) Host(name string) (*lab.Host, error) {
	for _, s := range c.Sites {
		if s.Name == name {
			return s.Connector, nil
		}
	}
	if h := c.Lab.Find(name); h != nil {
		return h, nil
	}
	var known []string
	for _, h := range c.Lab.Hosts() {
		known = append(known, h.Name)
	}
	return nil, fmt.Errorf("no host %q; there are %s", name, strings.Join(known, ", "))
}

// Disk is that of the program that a name means.
func (c *Cluster) Disk(name string) (*lab.Disk, error) {
	if d := c.Disks[name]; d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("no disk of %q; there are those of %s", name, strings.Join(slices.Sorted(maps.Keys(c.Disks)), ", "))
}

// Process is the program that a name means.
func (c *Cluster) Process(name string) (*lab.Process, error) {
	all := c.Processes()
	if p := all[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no program %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
}
