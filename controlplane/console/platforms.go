package console

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
)

// platform is a way to run a connector.
type platform struct {
	ID, Title, Text string
	command         func(name string, control []string, token string) string
}

// platforms are the ways that work today, with what "make build", "make deb" and "make image" build.
var platforms = []platform{
	{"binary", "Any Linux, now", "One command in a terminal; it runs until you end it. No root needed.", binaryCommand},
	{"systemd", "Linux with systemd", "As a service, restarted with the machine. Needs root, and the unit of deploy/systemd.", systemdCommand},
	{"deb", "Debian or Ubuntu", "The same from the package that make deb builds, in the folder where it is. Needs root.", debCommand},
	{"docker", "Docker", "A container of the image that make image builds. It has no privilege, and reaches what its machine reaches.", engineCommand("docker")},
	{"podman", "Podman", "The same with Podman, with root or without.", engineCommand("podman")},
	{"compose", "Compose", "The same from deploy/compose/connector.yaml, in its folder.", composeCommand},
}

func platformNamed(id string) (platform, error) {
	for _, p := range platforms {
		if p.ID == id {
			return p, nil
		}
	}
	return platform{}, fault.Field("platform", "choose one")
}

// binaryCommand has the token in the environment, which no other user of the machine can read.
func binaryCommand(name string, control []string, token string) string {
	return "WARREN_CONNECTOR_NAME=" + name + " \\\nWARREN_CONNECTOR_CONTROL=" + strings.Join(control, ",") + " \\\nWARREN_CONNECTOR_STATE_DIR=\"$HOME/.warren-connector-" + name +
		"\" \\\nWARREN_CONNECTOR_TOKEN=" + token + " \\\nwarren-connector"
}

func systemdCommand(name string, control []string, token string) string {
	return "sudo sh -c '" + settings(name, control, token) + "'"
}

func debCommand(name string, control []string, token string) string {
	return "sudo sh -c 'apt-get install -y ./warren-connector_*.deb &&\n" + settings(name, control, token) + "'"
}

// settings are commands of root that write files, the token into one that root alone can read, and start the service.
func settings(name string, control []string, token string) string {
	return "umask 022 && mkdir -p /etc/warren &&\nprintf \"name: " + name + "\\nstate_dir: /var/lib/warren-connector\\ncontrol: [" + quoted(control) +
		"]\\n\" >/etc/warren/connector.yaml &&\numask 077 && printf \"WARREN_CONNECTOR_TOKEN=" + token + "\\n\" >/etc/warren/connector.env &&\nsystemctl enable --now warren-connector"
}

// engineCommand has the token in the environment of the client, and its identity in a volume.
func engineCommand(engine string) func(name string, control []string, token string) string {
	return func(name string, control []string, token string) string {
		return "WARREN_CONNECTOR_TOKEN=" + token + " \\\n" + engine + " run --detach --restart unless-stopped --name warren-" + name +
			" \\\n  --network host --read-only --cap-drop ALL --security-opt no-new-privileges \\\n  --volume warren-" + name + ":/var/lib/warren-connector" +
			" \\\n  --env WARREN_CONNECTOR_NAME=" + name + " --env WARREN_CONNECTOR_CONTROL=" + strings.Join(control, ",") + " --env WARREN_CONNECTOR_TOKEN" +
			" \\\n  warren-connector"
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
