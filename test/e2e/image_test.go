//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab/engine"
)

// The image of a connector, as "make image" builds it, run by Docker from the compose file: it joins with its token, has no
// privilege, is found healthy, and is the same connector when its container is made anew.
func TestImageOfConnector(t *testing.T) {
	c := newCluster(t)
	site := c.Sites[0]
	e := engine.Start(t, c.Lab, site.Connector, engine.Docker)
	folder := filepath.Join(t.TempDir(), "image")
	if out, err := exec.Command("../../deploy/container/layout", "../../bin", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, program := range []string{"warren", "warren-control", "warren-node"} { // which this image has not: less to send
		c.must(os.Remove(filepath.Join(folder, program)))
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := e.Run(args...)
		c.must(err)
		return out
	}
	run("build", "--quiet", "--target", "warren-connector", "--tag", "warren-connector", "--file", "../../deploy/container/Containerfile", folder)
	if out := run("run", "--rm", "warren-connector", "--version"); !strings.HasPrefix(out, "warren-connector version ") {
		t.Errorf("it says %s", out)
	}

	compose := func(token string, args ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "docker-compose", append([]string{"--file", "../../deploy/compose/connector.yaml"}, args...)...)
		cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+e.Socket, "WARREN_NAME=boxed", "WARREN_CONTROL=198.18.1.10:8443", "WARREN_TOKEN="+token)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker-compose %v: %v\n%s", args, err, out)
		}
	}
	file := filepath.Join(c.Dir, "boxed.token")
	c.warren("site", "join", site.Name, "boxed", "--token-file", file)
	token, err := os.ReadFile(file)
	c.must(err)
	up := func(what string) (id string) {
		t.Helper()
		c.until(what, func() error {
			var st struct {
				Connectors []struct{ ID, Name, State string }
			}
			if err := c.JSON(&st, "status"); err != nil {
				return err
			}
			for _, k := range st.Connectors {
				if k.Name == "boxed" && k.State == "up" { // it is listed from the moment in which its token was made
					id = k.ID
					return nil
				}
			}
			return fmt.Errorf("%+v", st)
		})
		return id
	}
	compose(strings.TrimSpace(string(token)), "up", "--detach")
	first := up("the connector in the container is up")
	container := run("ps", "--quiet")
	if out := run("exec", container, "/usr/bin/warren-connector", "healthy"); out != "" {
		t.Errorf("healthy says %s", out)
	}
	if out := run("inspect", "--format", "{{.Config.User}} {{.HostConfig.CapDrop}} {{.HostConfig.ReadonlyRootfs}} {{len .HostConfig.CapAdd}}", container); out != "65532:65532 [ALL] true 0" {
		t.Errorf("it runs as %s", out)
	}
	if out, err := exec.Command("sh", "-c", "cat /proc/$1/status", "sh", run("inspect", "--format", "{{.State.Pid}}", container)).Output(); err == nil && strings.Contains(string(out), "CapEff:") &&
		!strings.Contains(string(out), "CapEff:\t0000000000000000") {
		t.Errorf("it has capabilities: %s", out)
	}

	compose("", "down")
	c.until("it is down", func() error {
		if out, err := c.Warren("status"); err == nil {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	compose("", "up", "--detach") // without the token, which is void
	if again := up("it is up again"); again != first {
		t.Errorf("it is %s, and was %s", again, first)
	}
}
