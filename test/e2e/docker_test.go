//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
	"github.com/warrenedge/warren/test/lab/engine"
)

// A yard is a site whose connector stands beside a container engine.
type yard struct {
	*suite
	site   *cluster.Site
	engine *engine.Engine
	conf   string // of the connector, without what it says of the engine
}

func newYard(c *suite, site *cluster.Site, kind engine.Kind, program string) *yard {
	c.t.Helper()
	y := &yard{suite: c, site: site, engine: engine.Start(c.t, c.Lab, site.Connector, kind)}
	c.must(y.engine.Import("hello", program))
	conf, err := os.ReadFile(filepath.Join(c.Dir, site.Name+".yaml"))
	c.must(err)
	y.conf = string(conf)
	return y
}

// buildHello builds what the containers run.
func buildHello(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hello")
	cmd := exec.Command("go", "build", "-o", program, "../lab/cmd/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // nothing else is in the image
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// follows restarts the connector, with more about the engine in its file.
func (y *yard) follows(more string) {
	y.t.Helper()
	y.write(y.site.Name+".yaml", y.conf+fmt.Sprintf("docker: {socket: %s, grace: 1s%s}\n", y.engine.Socket, more))
	y.restart(y.site.Proc)
}

func (y *yard) container(args ...string) string {
	y.t.Helper()
	out, err := y.engine.Run(args...)
	y.must(err)
	return out
}

// start starts a container that answers with its name, and says by its labels what it wants to be published as.
func (y *yard) start(name, hostname string, args ...string) {
	y.t.Helper()
	y.container(append(append([]string{"run", "--detach", "--name", name, "--env", "NAME=" + name, "--env", "PORT=8080", "--expose", "8080",
		"--label", "warren.enable=true", "--label", "warren.service.shop-" + y.site.Name + ".hostname=" + hostname,
		"--label", "warren.service.shop-" + y.site.Name + ".health_check.path=/up"}, args...), "hello")...)
}

func (y *yard) reached(what, hostname, name string) {
	y.t.Helper()
	y.until(what, func() error {
		r, err := y.Curl("https://" + hostname + "/")
		if err == nil && r.Name != name {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
}

func (y *yard) unreached(what, hostname string) {
	y.t.Helper()
	y.until(what, func() error {
		if _, err := y.Curl("https://" + hostname + "/"); err == nil {
			return errors.New("it is reached")
		}
		return nil
	})
}

// says waits until the site shows something.
func (y *yard) says(what, text string) {
	y.t.Helper()
	y.until(what, func() error {
		if out := y.warren("describe", "site", y.site.Name); !strings.Contains(out, text) {
			return errors.New(out)
		}
		return nil
	})
}

// target is where the container's service is reached.
func (y *yard) target() string {
	y.t.Helper()
	var list []struct {
		Service, Address string
		Port             int
	}
	y.json(&list, "get", "targets")
	for _, v := range list {
		if v.Service == "shop-"+y.site.Name {
			return fmt.Sprintf("%s:%d", v.Address, v.Port)
		}
	}
	return ""
}

// Containers of Docker and of Podman, each with an engine of its own on the connector's machine, are published by nothing but
// their labels and what their site may publish. When labels change so does the service; it stays while the engine is
// restarted, and goes with the container.
func TestLabelsOfContainersPublish(t *testing.T) {
	c := newCluster(t)
	program := buildHello(t)
	t.Run("docker", func(t *testing.T) {
		c := &suite{c.Cluster, t}
		y := newYard(c, c.Sites[0], engine.Docker, program)
		const shop = "shop-s1." + domain
		y.start("shop-1", shop, "--restart", "always")
		y.follows("")
		y.says("it may publish nothing", "1 services are asked for, and the site may publish none")
		if _, err := c.Curl("https://" + shop + "/"); err == nil {
			t.Error("it is published all the same")
		}
		y.permit()
		y.reached("the container is reached by its URL", shop, "shop-1")
		inBridge(t, y.target(), "172.17.0.0/16")

		// Who restarts Docker ends its containers, and finds them again.
		c.must(y.engine.Leave())
		y.says("the engine is away", "engine at "+y.engine.Socket)
		if y.target() == "" {
			t.Error("with the engine went the service")
		}
		c.must(y.engine.Return())
		y.reached("the container is back", shop, "shop-1")
		y.changes()
	})
	t.Run("podman", func(t *testing.T) {
		c := &suite{c.Cluster, t}
		y := newYard(c, c.Sites[1], engine.Podman, program)
		const shop = "shop-s2." + domain
		y.permit()
		y.start("shop-1", shop)
		y.follows("")
		y.reached("the container is reached by its URL", shop, "shop-1")
		inBridge(t, y.target(), "10.88.0.0/16")

		// Podman's containers go on without the service that was asked.
		c.must(y.engine.Leave())
		y.says("the engine is away", "engine at "+y.engine.Socket)
		y.reached("the container goes on", shop, "shop-1")
		c.must(y.engine.Return())
		y.changes()
	})
}

func (y *yard) permit() {
	y.t.Helper()
	y.apply(fmt.Sprintf("apiVersion: warren/v1\nkind: Site\nmetadata: {name: %s}\nspec: {pool: default, tunnels: 2, publish: {hostnames: [\"*.%s\"]}}\n", y.site.Name, domain), "--wait")
}

// inBridge looks whether a container is reached at its own address in the engine's network.
func inBridge(t *testing.T, target, network string) {
	t.Helper()
	at, err := netip.ParseAddrPort(target)
	if err != nil || at.Port() != 8080 || !netip.MustParsePrefix(network).Contains(at.Addr()) {
		t.Errorf("it is reached at %q, want port 8080 in %s", target, network)
	}
}

// changes goes through what people do with a container.
func (y *yard) changes() {
	y.t.Helper()
	first, other := "shop-"+y.site.Name+"."+domain, "other-"+y.site.Name+"."+domain

	// It is made anew with another name, and beside it one that asks for nothing.
	y.container("rm", "--force", "shop-1")
	y.container("run", "--detach", "--name", "silent", "--env", "PORT=8080", "hello")
	y.start("shop-2", other, "--publish", "9000:8080")
	y.reached("it is reached by its other URL", other, "shop-2")
	y.unreached("it is not reached by the first one", first)

	// The same by the port that its machine publishes.
	address := y.site.Connector.Addr.String()
	y.follows(", host_address: " + address)
	y.until("the target is the published port", func() error {
		if got := y.target(); got != address+":9000" {
			return errors.New(got)
		}
		return nil
	})
	y.reached("it is reached by the published port", other, "shop-2")

	// What is stopped goes, and comes again with it.
	y.container("stop", "--time", "1", "shop-2")
	y.until("the service is gone", func() error {
		if out, err := y.Warren("get", "service", "shop-"+y.site.Name); err == nil {
			return errors.New(out)
		}
		return nil
	})
	y.unreached("its URL answers no more", other)
	y.container("start", "shop-2")
	y.until("the service is there again", func() error { // a node that has not heard yet that it was gone reaches the container as soon as that runs
		_, err := y.Warren("get", "service", "shop-"+y.site.Name)
		return err
	})
	y.reached("it is back", other, "shop-2")

	y.unreadable(other)
}

// unreadable runs the connector as somebody who may not read the engine's socket, and then as one who may.
func (y *yard) unreadable(hostname string) {
	y.t.Helper()
	const nobody, group = 65534, 64999
	y.must(os.Chown(y.engine.Socket, 0, group))
	y.must(os.Chmod(y.engine.Socket, 0o660))
	y.site.Proc.Kill()
	y.must(filepath.WalkDir(y.Dir, func(path string, _ fs.DirEntry, err error) error {
		if name, _ := filepath.Rel(y.Dir, path); err == nil && strings.HasPrefix(name, y.site.Name) {
			err = os.Chown(path, nobody, nobody)
		}
		return err
	}))
	program, err := filepath.Abs("../../bin/warren-connector")
	y.must(err)
	as := func(name string, groups ...string) *lab.Process {
		who := append([]string{"--reuid", strconv.Itoa(nobody), "--regid", strconv.Itoa(nobody)}, groups...)
		return y.site.Connector.Start(y.site.Name+"-"+name, nil, "setpriv", append(who, program, "--config", filepath.Join(y.Dir, y.site.Name+".yaml"))...)
	}
	stranger := as("stranger", "--clear-groups")
	y.says("it may not read the socket", "permission denied: only its owner and the group 64999 may use the socket, and this process is not in it")
	y.reached("what it asked for stays", hostname, "shop-2")
	stranger.Kill()
	as("member", "--groups", strconv.Itoa(group))
	y.container("rm", "--force", "shop-2")
	y.until("who is in the group reads it: the service is gone", func() error {
		if out, err := y.Warren("get", "service", "shop-"+y.site.Name); err == nil {
			return errors.New(out)
		}
		return nil
	})
}
