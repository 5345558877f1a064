// Package engine runs real container engines on hosts of a lab.
//
// An engine has its own process and mount namespace: its containers end with it, whatever happens, and what it mounts and
// leaves below /run is seen by nobody else. It needs Debian's packages docker.io and podman. Nothing is downloaded: images are
// made of programs that the caller has built.
package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// Kind is whose engine it is.
type Kind struct {
	Name   string
	daemon func(dir, socket string) []string
	env    func(dir string) []string // of the daemon
	client func(socket string) []string
}

// Docker is dockerd, with a bridge and address translation as it has by itself.
var Docker = Kind{
	Name: "docker",
	daemon: func(dir, socket string) []string {
		return []string{"dockerd", "--data-root", dir + "/data", "--exec-root", dir + "/exec", "--pidfile", dir + "/pid", "--host", "unix://" + socket,
			"--storage-driver", "vfs", "--cgroup-parent", cgroup(dir), "--shutdown-timeout", "1"}
	},
	client: func(socket string) []string { return []string{"docker", "--host", "unix://" + socket} },
}

// Podman is the service that speaks Docker's API. Containers outlive it.
var Podman = Kind{
	Name: "podman",
	daemon: func(dir, socket string) []string {
		return []string{"podman", "--root", dir + "/data", "--runroot", dir + "/exec", "--tmpdir", dir + "/tmp", "--storage-driver", "vfs",
			"system", "service", "--time", "0", "unix://" + socket}
	},
	env:    func(dir string) []string { return []string{"CONTAINERS_CONF=" + dir + "/containers.conf"} },
	client: func(socket string) []string { return []string{"podman", "--url", "unix://" + socket} },
}

// podmanConf is what Podman needs where no systemd is. The limits are such as this process can grant.
const podmanConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
`

// keeper is the first process of the engine's namespace: it starts the daemon again when that ends, as a service manager
// does, but not while there is a file "away". $0 is the folder.
const keeper = `
set -u
mount -t tmpfs -o mode=755 none /run
for own in /var/lib/cni /etc/docker; do # addresses given away; the engine's identity
	mkdir -p $own && mount -t tmpfs none $own
done
mkdir -p "$0/data" && mount -t tmpfs none "$0/data" # engines wait for the disk after each step, which others keep busy
trap 'kill $pid; wait $pid; exit 0' TERM
while :; do
	"$@" & pid=$!
	while kill -0 $pid 2>/dev/null; do
		[ ! -e "$0/away" ] || kill $pid
		sleep 0.1
	done
	wait $pid
	while [ -e "$0/away" ]; do sleep 0.1; done
done
`

// Engine is a container engine on a host.
type Engine struct {
	Kind   Kind
	Socket string
	Proc   *lab.Process
	dir    string
}

// cgroup is below which all containers of an engine are.
func cgroup(dir string) string { return "/" + filepath.Base(dir) }

// Start starts an engine on a host and returns when it answers.
func Start(t lab.T, l *lab.Lab, h *lab.Host, k Kind) *Engine {
	t.Helper()
	e := &Engine{Kind: k, dir: l.Folder(k.Name)}
	e.Socket = filepath.Join(e.dir, "engine.sock")
	t.Cleanup(e.sweep)
	var env []string
	if k.env != nil {
		env = k.env(e.dir)
	}
	if err := os.WriteFile(filepath.Join(e.dir, "containers.conf"), []byte(podmanConf), 0o644); err != nil {
		t.Fatal(err)
	}
	// "ip netns exec" hides cgroups: back to the mounts of this process, but not to its network.
	args := append([]string{fmt.Sprintf("--mount=/proc/%d/ns/mnt", os.Getpid()), "--", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
		"sh", "-c", keeper, e.dir}, k.daemon(e.dir, e.Socket)...)
	e.Proc = h.Start(h.Name+"-"+k.Name, env, "nsenter", args...)
	t.Cleanup(e.empty)
	lab.Eventually(t, time.Minute, k.Name+" answers", e.answers)
	return e
}

// empty removes all containers. Without, they end all the same.
func (e *Engine) empty() {
	if ids, err := e.Run("ps", "--all", "--quiet"); err == nil && ids != "" {
		_, _ = e.Run(append([]string{"rm", "--force"}, strings.Fields(ids)...)...)
	}
}

func (e *Engine) answers() error {
	_, err := e.Run("version")
	return err
}

// sweep removes what the kernel keeps of containers that were killed.
func (e *Engine) sweep() {
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + cgroup(e.dir))
	for _, top := range append(groups, "/sys/fs/cgroup"+cgroup(e.dir)) {
		var all []string
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		for i := len(all) - 1; i >= 0; i-- {
			_ = os.Remove(all[i])
		}
	}
}

// Run is a command of the engine's own client.
func (e *Engine) Run(args ...string) (string, error) { return e.run(nil, args...) }

func (e *Engine) run(stdin []byte, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	all := append(e.Kind.client(e.Socket), args...)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(all, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Import makes an image of one static program, which is what its containers run.
func (e *Engine) Import(image, program string) error {
	b, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err = w.WriteHeader(&tar.Header{Name: "program", Mode: 0o755, Size: int64(len(b))})
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		_, err = e.run(layer.Bytes(), "import", "--change", `ENTRYPOINT ["/program"]`, "-", image)
	}
	return err
}

// Leave ends the daemon and returns when nobody answers at its socket.
func (e *Engine) Leave() error {
	if err := os.WriteFile(filepath.Join(e.dir, "away"), nil, 0o600); err != nil {
		return err
	}
	return lab.Wait(context.Background(), time.Minute, e.Kind.Name+" has gone", func() error {
		if e.answers() == nil {
			return fmt.Errorf("it answers")
		}
		return nil
	})
}

// Return starts it again.
func (e *Engine) Return() error {
	if err := os.Remove(filepath.Join(e.dir, "away")); err != nil {
		return err
	}
	return lab.Wait(context.Background(), time.Minute, e.Kind.Name+" answers again", e.answers)
}
