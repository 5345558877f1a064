//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenedge/warren/dataplane/docker/dockertest"
)

// A container with labels is published, by nothing but its labels and what its site may publish; when they change so does
// the service, and it goes with the container.
func TestLabelsOfContainersPublish(t *testing.T) {
	c := newCluster(t)
	site := c.Sites[0]
	c.web(site, "web", "10.77.1.10", 8080)
	engine := &dockertest.Engine{}
	socket := filepath.Join(c.Dir, "engine.sock")
	l, err := net.Listen("unix", socket)
	c.must(err)
	dockertest.Serve(t, l, engine)
	const other = "other." + domain
	start := func(hostname string) string {
		return engine.Start(dockertest.Container{Name: "web-1", Address: "10.77.1.10", Ports: []int{8080}, Labels: map[string]string{
			"warren.enable": "true", "warren.service.shop.hostname": hostname, "warren.service.shop.health_check.path": "/",
		}})
	}
	container := start(app)

	conf, err := os.ReadFile(filepath.Join(c.Dir, site.Name+".yaml"))
	c.must(err)
	c.write(site.Name+".yaml", string(conf)+fmt.Sprintf("docker: {socket: %s, grace: 1s}\n", socket))
	c.restart(site.Proc)
	c.until("the site says that it may publish nothing", func() error {
		if text := c.warren("describe", "site", site.Name); !strings.Contains(text, "1 services are asked for, and the site may publish none") {
			return errors.New(text)
		}
		return nil
	})
	if _, err := c.Curl("https://" + app + "/"); err == nil {
		t.Error("it is published all the same")
	}

	// Who permits it has it at once.
	c.apply(fmt.Sprintf("apiVersion: warren/v1\nkind: Site\nmetadata: {name: %s}\nspec: {pool: default, tunnels: 2, publish: {hostnames: [\"*.%s\"]}}\n", site.Name, domain), "--wait")
	reached := func(host string) func() error {
		return func() error {
			r, err := c.Curl("https://" + host + "/")
			if err == nil && r.Name != "web" {
				err = fmt.Errorf("%+v", r)
			}
			return err
		}
	}
	c.until("the container is reached by its URL", reached(app))
	var shown struct {
		Published struct{ Services []string }
	}
	if c.json(&shown, "get", "site", site.Name); len(shown.Published.Services) != 1 || shown.Published.Services[0] != "shop" {
		t.Errorf("the site shows %+v", shown)
	}

	// It comes back with another name.
	engine.Stop(container)
	container = start(other)
	c.until("it is reached by its other URL", reached(other))
	c.until("it is not reached by the first one", func() error {
		if _, err := c.Curl("https://" + app + "/"); err == nil {
			return errors.New("it is")
		}
		return nil
	})

	engine.Stop(container)
	c.until("the service is gone", func() error {
		if out, err := c.Warren("get", "service", "shop"); err == nil {
			return errors.New(out)
		}
		_, err := c.Curl("https://" + other + "/")
		if err == nil {
			return errors.New("it is reached")
		}
		return nil
	})
	if methods, _ := engine.Asked(); methods != nil {
		t.Errorf("the engine was asked %v: nothing but GET", methods)
	}
}
