package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
)

// platform is a way to run a program.
type platform struct {
	ID, Title, Text string
	command         func(name string, control []string, token string) string
}

// platforms are the ways to run a connector that work today, with what "make build", "make deb" and "make image" build.
var platforms = []platform{
	{"binary", "Any Linux, now", "One command in a terminal; it runs until you end it. No root needed.", binaryCommand},
	{"systemd", "Linux with systemd", "As a service, restarted with the machine. Needs root, and the unit of deploy/systemd.", connectorProgram.systemdCommand},
	{"deb", "Debian or Ubuntu", "The same from the package that make deb builds, in the folder where it is. Needs root.", connectorProgram.debCommand},
	{"docker", "Docker", "A container of the image that make image builds. It has no privilege, and reaches what its machine reaches.", connectorProgram.engineCommand("docker")},
	{"podman", "Podman", "The same with Podman, with root or without.", connectorProgram.engineCommand("podman")},
	{"compose", "Compose", "The same from deploy/compose/connector.yaml, in its folder.", composeCommand},
}

// nodePlatforms are the ways to run a node.
var nodePlatforms = []platform{
	{"binary", "Any Linux, now", "One command in a terminal; it runs until you end it. As root: it opens ports 443, 80 and 53.", nodeCommand},
	{"systemd", "Linux with systemd", "As a service, restarted with the machine. Needs root, and the units of deploy/systemd.", nodeProgram.systemdCommand},
	{"deb", "Debian or Ubuntu", "The same from the package that make deb builds, in the folder where it is. Needs root.", nodeProgram.debCommand},
	{"docker", "Docker", "A container of the image that make image builds, in the network of its machine.", nodeProgram.engineCommand("docker")},
	{"podman", "Podman", "The same with Podman, as root.", nodeProgram.engineCommand("podman")},
}

// program is what a command of a platform runs.
type program struct {
	name  string // of its package, its image and its state
	file  string // of its settings in /etc/warren, without an end
	env   string // what its variables begin with
	units string
	may   string // what a container of it may and has, beside the network of its machine
}

var (
	connectorProgram = program{name: "warren-connector", file: "connector", env: "WARREN_CONNECTOR_", units: "warren-connector", may: "--restart unless-stopped"}
	nodeProgram      = program{
		name: "warren-node", file: "node", env: "WARREN_NODE_", units: "warren-node-https.socket warren-node-dns.socket warren-node-gossip.socket warren-node",
		may: "--restart on-failure --stop-timeout 45 --device /dev/net/tun --cap-add NET_ADMIN --cap-add NET_BIND_SERVICE", // one that was drained stays down
	}
)

func platformNamed(id string) (platform, error) { return platformOf(platforms, id) }

func platformOf(list []platform, id string) (platform, error) {
	for _, p := range list {
		if p.ID == id {
			return p, nil
		}
	}
	return platform{}, fault.Field("platform", "choose one")
}

// binaryCommand has the token in the environment, which no other user of the machine can read.
func binaryCommand(name string, control []string, token string) string {
	return connectorProgram.variables(name, control, `"$HOME/.warren-connector-`+name+`"`, token) + "warren-connector"
}

// nodeCommand is the same for root: sudo takes the variables along.
func nodeCommand(name string, control []string, token string) string {
	p := nodeProgram
	return p.variables(name, control, "/var/lib/warren-node", token) +
		"sudo --preserve-env=" + p.env + "NAME," + p.env + "CONTROL," + p.env + "STATE_DIR," + p.env + "TOKEN warren-node"
}

func (p program) variables(name string, control []string, state, token string) string {
	return p.env + "NAME=" + name + " \\\n" + p.env + "CONTROL=" + strings.Join(control, ",") + " \\\n" + p.env + "STATE_DIR=" + state + " \\\n" + p.env + "TOKEN=" + token + " \\\n"
}

func (p program) systemdCommand(name string, control []string, token string) string {
	return "sudo sh -c '" + p.settings(name, control, token) + "'"
}

func (p program) debCommand(name string, control []string, token string) string {
	return "sudo sh -c 'apt-get install -y ./" + p.name + "_*.deb &&\n" + p.settings(name, control, token) + "'"
}

// settings are commands of root that write files, the token into one that root alone can read, and start the service.
func (p program) settings(name string, control []string, token string) string {
	return "umask 022 && mkdir -p /etc/warren &&\nprintf \"name: " + name + "\\nstate_dir: /var/lib/" + p.name + "\\ncontrol: [" + quoted(control) +
		"]\\n\" >/etc/warren/" + p.file + ".yaml &&\numask 077 && printf \"" + p.env + "TOKEN=" + token + "\\n\" >/etc/warren/" + p.file + ".env &&\nsystemctl enable --now " + p.units
}

// engineCommand has the token in the environment of the client, and its identity in a volume.
func (p program) engineCommand(engine string) func(name string, control []string, token string) string {
	return func(name string, control []string, token string) string {
		return p.env + "TOKEN=" + token + " \\\n" + engine + " run --detach " + p.may + " --name warren-" + name +
			" \\\n  --network host --read-only --cap-drop ALL --security-opt no-new-privileges \\\n  --volume warren-" + name + ":/var/lib/" + p.name +
			" \\\n  --env " + p.env + "NAME=" + name + " --env " + p.env + "CONTROL=" + strings.Join(control, ",") + " --env " + p.env + "TOKEN" +
			" \\\n  " + p.name
	}
}

// composeCommand writes the file that compose reads settings from, which nobody else can read.
func composeCommand(name string, control []string, token string) string {
	return "(umask 077 && printf \"WARREN_NAME=" + name + "\\nWARREN_CONTROL=" + strings.Join(control, ",") + "\\nWARREN_TOKEN=" + token +
		"\\n\" >.env) &&\ndocker compose -f connector.yaml up --detach"
}

func quoted(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, `\"`+s+`\"`)
	}
	return strings.Join(out, ", ")
}
