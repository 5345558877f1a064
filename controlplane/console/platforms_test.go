package console

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Commands are run by a shell with stand-ins for the programs that they call, which say how they were called.
func TestCommandsOfPlatforms(t *testing.T) {
	const token = "wjt1.id.secret.hash"
	const said = `#!/bin/sh
printf '%s' "${0##*/}" >>"$LOG"
for a in "$@"; do printf ' %s' "$a" >>"$LOG"; done
printf '\n' >>"$LOG"
env | grep ^WARREN_ | sort >>"$LOG"
`
	for id, want := range map[string]string{
		"binary": "warren-connector\nWARREN_CONNECTOR_CONTROL=a:8443,b:8443\nWARREN_CONNECTOR_NAME=barn-1\nWARREN_CONNECTOR_STATE_DIR=HOME/.warren-connector-barn-1\nWARREN_CONNECTOR_TOKEN=" + token + "\n",
		"docker": "docker run --detach --restart unless-stopped --name warren-barn-1 --network host --read-only --cap-drop ALL --security-opt no-new-privileges --volume warren-barn-1:/var/lib/warren-connector " +
			"--env WARREN_CONNECTOR_NAME=barn-1 --env WARREN_CONNECTOR_CONTROL=a:8443,b:8443 --env WARREN_CONNECTOR_TOKEN warren-connector\nWARREN_CONNECTOR_TOKEN=" + token + "\n",
		"podman": "podman run --detach --restart unless-stopped --name warren-barn-1 --network host --read-only --cap-drop ALL --security-opt no-new-privileges --volume warren-barn-1:/var/lib/warren-connector " +
			"--env WARREN_CONNECTOR_NAME=barn-1 --env WARREN_CONNECTOR_CONTROL=a:8443,b:8443 --env WARREN_CONNECTOR_TOKEN warren-connector\nWARREN_CONNECTOR_TOKEN=" + token + "\n",
		"compose": "docker compose -f connector.yaml up --detach\n",
		"systemd": "sudo sh -c ", "deb": "sudo sh -c apt-get install -y ./warren-connector_*.deb &&\n",
	} {
		t.Run(id, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"warren-connector", "docker", "podman", "sudo"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(said), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			p, err := platformNamed(id)
			if err != nil {
				t.Fatal(err)
			}
			log := filepath.Join(dir, "log")
			cmd := exec.Command("sh", "-c", p.command("barn-1", []string{"a:8443", "b:8443"}, token))
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "LOG=" + log, "HOME=HOME"}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got, err := os.ReadFile(log)
			if err != nil || !strings.HasPrefix(string(got), want) {
				t.Errorf("%v, it called\n%s\nwant\n%s", err, got, want)
			}
			switch id {
			case "compose":
				file := filepath.Join(dir, ".env")
				b, err := os.ReadFile(file)
				if err != nil || string(b) != "WARREN_NAME=barn-1\nWARREN_CONTROL=a:8443,b:8443\nWARREN_TOKEN="+token+"\n" {
					t.Errorf("%v, %s", err, b)
				}
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v: the token is in it", err, info.Mode())
				}
			case "systemd", "deb":
				for _, part := range []string{`name: barn-1\n`, `control: [\"a:8443\", \"b:8443\"]`, "WARREN_CONNECTOR_TOKEN=" + token, "systemctl enable --now warren-connector"} {
					if !strings.Contains(string(got), part) {
						t.Errorf("%s is not in\n%s", part, got)
					}
				}
			}
		})
	}
	for _, p := range platforms {
		if p.Title == "" || p.Text == "" {
			t.Errorf("%s says nothing", p.ID)
		}
	}
}

// A node's commands are run the same way: what needs root goes by sudo, and the token is in no argument but of the shell that
// writes it into a file which root alone can read.
func TestCommandsOfNodes(t *testing.T) {
	const token = "wjt1.id.secret.hash"
	const said = "#!/bin/sh\n{ printf '%s' \"${0##*/}\"; printf ' %s' \"$@\"; printf '\\n'; env | grep ^WARREN_ | sort; } >>\"$LOG\"\n"
	engine := " run --detach --restart on-failure --stop-timeout 45 --device /dev/net/tun --cap-add NET_ADMIN --cap-add NET_BIND_SERVICE --name warren-edge-7 --network host --read-only --cap-drop ALL " +
		"--security-opt no-new-privileges --volume warren-edge-7:/var/lib/warren-node --env WARREN_NODE_NAME=edge-7 --env WARREN_NODE_CONTROL=a:8443,b:8443 --env WARREN_NODE_TOKEN warren-node\nWARREN_NODE_TOKEN=" + token + "\n"
	for id, want := range map[string]string{
		"binary": "sudo --preserve-env=WARREN_NODE_NAME,WARREN_NODE_CONTROL,WARREN_NODE_STATE_DIR,WARREN_NODE_TOKEN warren-node\n" +
			"WARREN_NODE_CONTROL=a:8443,b:8443\nWARREN_NODE_NAME=edge-7\nWARREN_NODE_STATE_DIR=/var/lib/warren-node\nWARREN_NODE_TOKEN=" + token + "\n",
		"docker": "docker" + engine, "podman": "podman" + engine,
		"systemd": "sudo sh -c umask 022 ", "deb": "sudo sh -c apt-get install -y ./warren-node_*.deb &&\n",
	} {
		t.Run(id, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"docker", "podman", "sudo"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(said), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			p, err := platformOf(nodePlatforms, id)
			if err != nil {
				t.Fatal(err)
			}
			log := filepath.Join(dir, "log")
			cmd := exec.Command("sh", "-c", p.command("edge-7", []string{"a:8443", "b:8443"}, token))
			cmd.Dir, cmd.Env = dir, []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "LOG=" + log}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got, err := os.ReadFile(log)
			if err != nil || !strings.HasPrefix(string(got), want) {
				t.Errorf("%v, it called\n%s\nwant\n%s", err, got, want)
			}
			if id != "systemd" && id != "deb" {
				return
			}
			for _, part := range []string{`name: edge-7\n`, `state_dir: /var/lib/warren-node\n`, `control: [\"a:8443\", \"b:8443\"]`, ">/etc/warren/node.yaml", "umask 077 && printf \"WARREN_NODE_TOKEN=" + token, "systemctl enable --now warren-node-https.socket warren-node-dns.socket warren-node-gossip.socket warren-node"} {
				if !strings.Contains(string(got), part) {
					t.Errorf("%s is not in\n%s", part, got)
				}
			}
		})
	}
}
