//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/engine"
)

// database is what a container does to be the PostgreSQL that compose.yaml asks for, of this machine's own programs.
const database = `#!/bin/sh
set -eu
export PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1):/usr/bin
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
	printf %s "$POSTGRES_PASSWORD" >/tmp/password
	initdb --no-sync --no-locale --encoding UTF8 --username "$POSTGRES_USER" --pwfile /tmp/password --auth scram-sha-256 $data
	echo "host all all all scram-sha-256" >>$data/pg_hba.conf
	echo "CREATE DATABASE $POSTGRES_DB;" | postgres --single -j -D $data postgres
fi
exec postgres -D $data -k /tmp -h '*' -c fsync=off
`

// databaseImage is all of it that is not mounted from this machine. Nothing is downloaded.
const databaseImage = `FROM scratch
COPY root /
COPY --chown=70:70 data /var/lib/postgresql/data
USER 70:70
ENV PATH=/usr/bin
ENTRYPOINT ["/start"]
`

// besides is what this machine adds to compose.yaml: programs of the database, and less patience.
const besides = `services:
  database:
    volumes: ["/usr:/usr:ro"]
    healthcheck: {interval: 1s, timeout: 20s, retries: 300}
  control:
    healthcheck: {interval: 1s, timeout: 20s, retries: 300}
`

// A composition is compose.yaml in a folder of its own, run by Docker on a host.
type composition struct {
	*testing.T
	engine *engine.Engine
	dir    string
	env    []string
}

func (c *composition) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// try is a command of compose.
func (c *composition) try(more []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-compose", append([]string{"--file", "compose.yaml", "--file", "besides.yaml"}, args...)...)
	cmd.Dir, cmd.Env = c.dir, append(append(os.Environ(), c.env...), more...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("docker-compose %s: %w\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// warren is the command line beside the control plane.
func (c *composition) warren(args ...string) (string, error) {
	return c.try(nil, append([]string{"exec", "-T", "control", "warren"}, args...)...)
}

// images builds the images as "make image" does, and that of the database.
func (c *composition) images() {
	c.Helper()
	folder, pg := filepath.Join(c.dir, "image"), filepath.Join(c.dir, "database")
	if out, err := exec.Command("../../deploy/container/layout", "../../bin", folder).CombinedOutput(); err != nil {
		c.Fatalf("%v: %s", err, out)
	}
	empty := func(program string) { // its stage is built as well, and not looked at: less to copy at each step
		c.must(os.Truncate(filepath.Join(folder, program), 0))
	}
	build := func(target string) {
		_, err := c.engine.Run("build", "--quiet", "--target", target, "--tag", target, "--file", "../../deploy/container/Containerfile", folder)
		c.must(err)
	}
	empty("warren-connector")
	build("warren-control")
	empty("warren")
	empty("warren-control")
	build("warren-node")
	for _, dir := range []string{"root/etc", "root/usr", "data"} {
		c.must(os.MkdirAll(filepath.Join(pg, dir), 0o755))
	}
	c.must(os.MkdirAll(filepath.Join(pg, "root/tmp"), 0o755))
	c.must(os.Chmod(filepath.Join(pg, "root/tmp"), 0o777))
	c.must(os.Chmod(filepath.Join(pg, "data"), 0o700))
	for _, link := range []string{"bin", "lib", "lib64"} {
		c.must(os.Symlink("usr/"+link, filepath.Join(pg, "root", link)))
	}
	for name, text := range map[string]string{"root/start": database, "root/etc/passwd": "postgres:x:70:70:::/bin/sh\n", "Containerfile": databaseImage} {
		c.must(os.WriteFile(filepath.Join(pg, name), []byte(text), 0o755))
	}
	_, err := c.engine.Run("build", "--quiet", "--tag", "database", "--file", filepath.Join(pg, "Containerfile"), pg)
	c.must(err)
}

// What compose.yaml says at its top makes a cluster of the images that "make image" builds: the control plane brings its database
// up to date and is found healthy, the node joins with the token that was printed and serves from another machine. Made anew,
// with neither token nor anything but its volumes, it is the same cluster.
func TestComposeFile(t *testing.T) {
	l := lab.New(t)
	host, client := l.Host("machine", "198.18.1.1"), l.Host("client", "198.18.9.1")
	c := &composition{T: t, engine: engine.Start(t, l, host, engine.Docker), dir: l.Folder("compose")}
	c.env = []string{"DOCKER_HOST=unix://" + c.engine.Socket, "COMPOSE_PROJECT_NAME=warren", "POSTGRES_IMAGE=database", "DATABASE_PASSWORD=secret",
		"WARREN_URL=http://localhost:8080", "WARREN_PUBLIC_ADDRESS=" + host.Addr.String()}
	file, err := os.ReadFile("../../deploy/compose/compose.yaml")
	c.must(err)
	c.must(os.WriteFile(filepath.Join(c.dir, "compose.yaml"), file, 0o644))
	c.must(os.WriteFile(filepath.Join(c.dir, "besides.yaml"), []byte(besides), 0o644))
	t.Cleanup(func() {
		if t.Failed() {
			out, err := c.try(nil, "logs", "--no-color", "--tail", "40")
			t.Logf("%s %v", out, err)
		}
	})
	c.images()

	kek, err := c.engine.Run("run", "--rm", "warren-control", "new-kek")
	c.must(err)
	c.must(os.WriteFile(filepath.Join(c.dir, "kek.json"), []byte(kek), 0o600))
	c.must(os.Chown(filepath.Join(c.dir, "kek.json"), 65532, -1))
	_, err = c.try(nil, "up", "--detach", "control")
	c.must(err)
	var token string
	lab.Eventually(t, patience, "a token for the node", func() (err error) {
		token, err = c.warren("node", "join", "edge-1")
		return err
	})
	_, err = c.try([]string{"WARREN_NODE_TOKEN=" + token}, "up", "--detach") // when the control plane is found healthy
	c.must(err)
	first := c.nodeUp()

	c.publish(host, client, l)
	c.confined("node", "0:0", "NET_ADMIN", "NET_BIND_SERVICE")
	c.confined("control", "65532:65532")

	_, err = c.try(nil, "down")
	c.must(err)
	_, err = c.try(nil, "up", "--detach")
	c.must(err)
	if again := c.nodeUp(); again != first {
		t.Errorf("the node is %s, and was %s", again, first)
	}
	c.served(host, client)
}

// nodeUp waits until the node is up, and returns its id.
func (c *composition) nodeUp() (id string) {
	c.Helper()
	lab.Eventually(c, 2*patience, "the node is up", func() error {
		out, err := c.warren("status", "--output", "json")
		if out == "" {
			return err
		}
		var st struct {
			Nodes []struct{ ID, Name, State string }
		}
		if err := json.Unmarshal([]byte(out), &st); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if len(st.Nodes) != 1 || st.Nodes[0].Name != "edge-1" || st.Nodes[0].State != "up" {
			return fmt.Errorf("%s", out)
		}
		id = st.Nodes[0].ID
		return nil
	})
	return id
}

// publish publishes a web server that stands beside the machine.
func (c *composition) publish(host, client *lab.Host, l *lab.Lab) {
	c.Helper()
	web := l.Host("web", "198.18.2.1")
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "from beside it") })}
	ln := web.Listen(8000)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	c.Cleanup(func() { _ = srv.Close(); <-done })
	for _, args := range [][]string{
		{"create", "domain", "boxed.example", "--pool", "default"},
		{"create", "site", "beside", "--kind", "local", "--pool", "default", "--nodes", "edge-1"},
		{"create", "service", "web", "--kind", "http", "--hostname", "web.boxed.example", "--pool", "default"},
		{"create", "target", "web", "--service", "web", "--site", "beside", "--address", web.Addr.String(), "--port", "8000"},
	} {
		_, err := c.warren(args...)
		c.must(err)
	}
	c.served(host, client)
}

// served waits until the service answers at another machine, by the node's DNS and its TLS.
func (c *composition) served(host, client *lab.Host) {
	c.Helper()
	at := host.Addr.String()
	lab.Eventually(c, patience, "it is served", func() error {
		cmd := client.Command("dig", "+short", "+time=2", "+tries=1", "@"+at, "web.boxed.example", "A")
		if out, err := cmd.Output(); err != nil || strings.TrimSpace(string(out)) != at {
			return fmt.Errorf("its name is %q: %w", out, err)
		}
		cmd = client.Command("curl", "--silent", "--show-error", "--insecure", "--max-time", "5", "--resolve", "web.boxed.example:443:"+at, "https://web.boxed.example/")
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "from beside it" {
			return fmt.Errorf("%s: %w", out, err)
		}
		return nil
	})
}

// confined looks as whom a container runs, and with what privileges.
func (c *composition) confined(service, user string, caps ...string) {
	c.Helper()
	id, err := c.try(nil, "ps", "--quiet", service)
	c.must(err)
	var is []struct {
		Config     struct{ User string }
		HostConfig struct {
			ReadonlyRootfs  bool
			CapAdd, CapDrop []string
		}
	}
	out, err := c.engine.Run("inspect", id)
	c.must(err)
	c.must(json.Unmarshal([]byte(out), &is))
	if len(is) != 1 || !is[0].HostConfig.ReadonlyRootfs || strings.Join(is[0].HostConfig.CapDrop, ",") != "ALL" ||
		strings.Join(is[0].HostConfig.CapAdd, ",") != strings.Join(caps, ",") || is[0].Config.User != strings.TrimSuffix(user, "0:0") {
		c.Errorf("%s runs as %+v", service, is)
	}
}
