package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const good = `name: n1
state_dir: /tmp/x
control: ["c.example:8443"]
public_addresses: [192.0.2.1, "2001:db8::1"]
listen:
  https: "192.0.2.1:443"
`

func TestLoadNode(t *testing.T) {
	t.Setenv("WARREN_NODE_DRAIN_TIME", "1m30s")
	t.Setenv("WARREN_NODE_LISTEN_DNS", "192.0.2.1:53")
	c, err := LoadNode(file(t, good))
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen.HTTPS != "192.0.2.1:443" || c.HTTPSPort() != 443 || c.Listen.HTTP != ":80" || c.Listen.DNS != "192.0.2.1:53" || c.WireGuardEndpoint != "192.0.2.1:51820" ||
		c.StreamEndpoint != "192.0.2.1:443" || c.GossipEndpoint != "192.0.2.1:7946" || len(c.PublicAddresses) != 2 || c.DrainTime != 90*time.Second || c.Name != "n1" {
		t.Errorf("%+v", c)
	}
}

// Whether port 80 was asked for is known, not only that it is 80.
func TestWhoAskedForHTTP(t *testing.T) {
	for name, tc := range map[string]struct {
		text, variable, want string
		byDefault            bool
	}{
		"nothing is written":   {good, "", ":80", true},
		"the same is written":  {good + "  http: \":80\"\n", "", ":80", false},
		"another is written":   {good + "  http: \":8080\"\n", "", ":8080", false},
		"none is written":      {good + "  http: \"\"\n", "", "", false},
		"a variable says so":   {good, ":80", ":80", false},
		"both, another one":    {good + "  http: \"\"\n", ":81", ":81", false},
		"without any settings": {"name: n1\ncontrol: [\"c.example:8443\"]\n", "", ":80", true},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.variable != "" {
				t.Setenv("WARREN_NODE_LISTEN_HTTP", tc.variable)
			}
			if c, err := LoadNode(file(t, tc.text)); err != nil || c.Listen.HTTP != tc.want || c.Listen.HTTPByDefault != tc.byDefault {
				t.Errorf("%+v, %v; want %q, by default %v", c, err, tc.want, tc.byDefault)
			}
		})
	}
}

// The examples that come with the units are settings as they are.
func TestExamples(t *testing.T) {
	if c, err := LoadNode("../../deploy/systemd/node.yaml"); err != nil || c.StateDir != "/var/lib/warren-node" {
		t.Errorf("node.yaml: %v", err)
	}
	if c, err := LoadConnector("../../deploy/systemd/connector.yaml"); err != nil || c.StateDir != "/var/lib/warren-connector" {
		t.Errorf("connector.yaml: %v", err)
	}
}

// Settings that README and guides print are taken: whole files by the name above them, and what a guide adds to one, in a block
// that begins with its key or between backquotes.
func TestDocumentsPrintSettingsThatAreTaken(t *testing.T) {
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	bare := func(text, indent string) string { return strings.ReplaceAll("\n"+text, "\n"+indent, "\n") }
	_, after, _ := strings.Cut(read("README.md"), "       # node.yaml\n")
	node, after, _ := strings.Cut(after, "       # connector.yaml\n")
	connector, _, found := strings.Cut(after, "\n\n")
	if !found {
		t.Fatal("README prints no node.yaml and connector.yaml")
	}
	if c, err := LoadNode(file(t, bare(node, "       "))); err != nil || c.Name != "edge-1" {
		t.Errorf("README's node.yaml: %+v, %v", c, err)
	}
	if c, err := LoadConnector(file(t, bare(connector, "       "))); err != nil || c.Name != "pi" {
		t.Errorf("README's connector.yaml: %+v, %v", c, err)
	}

	const least = "name: n1\ncontrol: [\"c.example:8443\"]\n"
	block := regexp.MustCompile(`(?m)^    (?:access_log|request_log): (?:.|\n    )*`)
	quoted := regexp.MustCompile("`(?:listen|docker|geoip|tunnel|request_log|public_name|public_name_every|wireguard_endpoint|stream_endpoint): [^`]*`")
	for _, name := range []string{"access", "install", "operate", "services"} {
		text := read("deploy/guide/" + name + ".md")
		all := append(block.FindAllString(text, -1), quoted.FindAllString(text, -1)...)
		for _, some := range all {
			path := file(t, least+bare(strings.Trim(some, "`"), "    "))
			_, asNode := LoadNode(path)
			_, asConnector := LoadConnector(path)
			if asNode != nil && asConnector != nil {
				t.Errorf("%s.md: %s: of a node: %v; of a connector: %v", name, some, asNode, asConnector)
			}
		}
		if len(all) == 0 {
			t.Errorf("%s.md has no settings", name)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"unknown key":        {good + "nmae: x\n", "[7:1]"},
		"unknown nested key": {good + "  htps: x\n", "[7:3]"},
		"second document":    {good + "---\nname: n2\n", "line 7"},
		"wrong type":         {strings.Replace(good, "192.0.2.1, ", "nonsense, ", 1), "nonsense"},
		"http":               {good + "  http: nowhere\n", "listen.http"},
		"gossip":             {good + "  gossip: nowhere\n", "listen.gossip"},
		"no name":            {strings.Replace(good, "name: n1", "", 1), "name:"},
		"no control":         {strings.Replace(good, `control: ["c.example:8443"]`, "", 1), "control: missing"},
		"control":            {strings.Replace(good, "c.example:8443", "c.example", 1), "control[0]"},
		"tunnel":             {good + "tunnel: tap\n", "tunnel:"},
		"endpoint":           {good + "wireguard_endpoint: host_1:1\n", "wireguard_endpoint:"},
		"stream endpoint":    {good + "stream_endpoint: 192.0.2.1\n", "stream_endpoint:"},
		"gossip endpoint":    {good + "gossip_endpoint: 192.0.2.1:0\n", "gossip_endpoint:"},
		"forward host":       {good + "  forward_host: \"192.0.2.1:0\"\n", "listen.forward_host:"},
		"drain time":         {good + "drain_time: -1s\n", "drain_time:"},
		"public name's time": {good + "public_name_every: 1s\n", "public_name_every: 1s, want 5s to 1h"},
		"drain time's unit":  {good + "drain_time: soon\n", "soon"},
		"sink":               {good + "request_log: {sinks: [{kind: http, url: \"https://a\"}, {kind: syslog, url: \"https://a\"}]}\n", "request_log.sinks[1].url:"},
		"level":              {good + "log_level: loud\n", "log_level:"},
	} {
		_, err := LoadNode(file(t, tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v; want %q", name, err, tc.says)
		}
	}
	if _, err := LoadConnector(file(t, "name: c1\ncontrol: [\"c:1\"]\ntunnel: tap\n")); err == nil || !strings.Contains(err.Error(), `tunnel: "tap", want auto, tun or netstack`) {
		t.Errorf("%v", err)
	}
	for text, says := range map[string]string{
		good + "public_name: edge.example.org\n": "public_name: beside public_addresses: want one of them",
		strings.Replace(good, `public_addresses: [192.0.2.1, "2001:db8::1"]`, "public_name: \"192.0.2.1\"", 1): `public_name: "192.0.2.1", want a hostname`,
		strings.Replace(good, `public_addresses: [192.0.2.1, "2001:db8::1"]`, "public_name: \"a..b\"", 1):      `public_name: "a..b", want a hostname`,
	} {
		if _, err := LoadNode(file(t, text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
	if _, err := LoadNode("/nowhere"); err == nil {
		t.Error("a file that is not there")
	}
	for _, admin := range []string{"127.0.0.1", "unix:", "unix:admin.sock"} {
		if _, err := LoadConnector(file(t, "name: c1\ncontrol: [\"c:1\"]\nlisten: {admin: \""+admin+"\"}\n")); err == nil || !strings.Contains(err.Error(), "listen.admin") {
			t.Errorf("%s: %v", admin, err)
		}
	}
	if _, err := LoadConnector(file(t, "name: c1\ncontrol: [\"c:1\"]\nlisten: {admin: \"unix:/run/admin.sock\"}\n")); err != nil {
		t.Error(err)
	}
}

func TestDocker(t *testing.T) {
	const base = "name: c1\ncontrol: [\"c:1\"]\n"
	for text, want := range map[string]string{
		base: "false",
		base + "docker: {socket: /run/docker.sock}\n":                                              "true /run/docker.sock   10s",
		base + "docker: {socket: \"unix:///x\", grace: 1s, network: n, host_address: 192.0.2.1}\n": "true /x n 192.0.2.1 1s",
		base + "docker: {socket: docker.sock}\n":                                                   "docker.socket: \"docker.sock\", want the path",
		base + "docker: {socket: \"tcp://c:2375\"}\n":                                              "docker.socket: \"tcp://c:2375\", want the path",
		base + "docker: {network: n}\n":                                                            "docker.socket: missing",
		base + "docker: {socket: /x, host_address: \"a:80\"}\n":                                    "docker.host_address: \"a:80\", want an address",
		base + "docker: {routed: true}\n":                                                          "docker.socket: missing",
		base + "docker: {socket: /x, routed: true, host_address: a}\n":                             "docker.routed: containers are reached at docker.host_address",
		base + "docker: {socket: /x, grace: 2h}\n":                                                 "docker.grace: 2h0m0s, want 0s to 1h0m0s",
		base + "docker: {sokcet: /x}\n":                                                            "sokcet",
	} {
		c, err := LoadConnector(file(t, text))
		var got string
		if err != nil {
			got = err.Error()
		} else if d, on := c.Docker.Labels(); !on {
			got = "false"
		} else {
			got = fmt.Sprint(on, " ", d.Socket, " ", d.Network, " ", d.HostAddress, " ", d.Grace)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	t.Setenv("WARREN_CONNECTOR_DOCKER_SOCKET", "/var/run/docker.sock")
	if c, err := LoadConnector(file(t, base)); err != nil || c.Docker.Socket != "/var/run/docker.sock" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestEndpointsThatAreSaidStay(t *testing.T) {
	said := "wireguard_endpoint: 203.0.113.1:1\nstream_endpoint: 203.0.113.1:2\ngossip_endpoint: \"[2001:db8::1]:3\"\n"
	for name, tc := range map[string]struct{ text, want string }{
		"said":                {good + said, "203.0.113.1:1 203.0.113.1:2 [2001:db8::1]:3"},
		"names":               {good + "wireguard_endpoint: Edge.example.org:1\nstream_endpoint: edge.example.org:2\ngossip_endpoint: edge:3\n", "Edge.example.org:1 edge.example.org:2 edge:3"},
		"another https port":  {strings.Replace(good, "192.0.2.1:443", ":8443", 1), "192.0.2.1:51820 192.0.2.1:8443 192.0.2.1:7946"},
		"a port by its name":  {strings.Replace(good, "192.0.2.1:443", ":https", 1), "192.0.2.1:51820  192.0.2.1:7946"},
		"a public name":       {strings.Replace(good, `public_addresses: [192.0.2.1, "2001:db8::1"]`, "public_name: Edge.dyn.example.org.", 1), "edge.dyn.example.org:51820 edge.dyn.example.org:443 edge.dyn.example.org:7946"},
		"no public addresses": {strings.Replace(good, `[192.0.2.1, "2001:db8::1"]`, "[]", 1), "  "},
	} {
		c, err := LoadNode(file(t, tc.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := c.WireGuardEndpoint + " " + c.StreamEndpoint + " " + c.GossipEndpoint; got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestUnknownVariablesAreNamed(t *testing.T) {
	t.Setenv("WARREN_NODE_LISTEN_HTPPS", ":443")
	if _, err := LoadNode(file(t, good)); err == nil || !strings.Contains(err.Error(), "WARREN_NODE_LISTEN_HTPPS, did you mean WARREN_NODE_LISTEN_HTTPS?") {
		t.Errorf("%v", err)
	}
	t.Setenv("WARREN_CONNECTOR_TOKENFILE", "x")
	if _, err := LoadConnector(file(t, "name: c1\ncontrol: [\"c:1\"]\n")); err == nil || !strings.Contains(err.Error(), "WARREN_CONNECTOR_TOKENFILE, did you mean WARREN_CONNECTOR_TOKEN_FILE?") {
		t.Errorf("%v", err)
	}
}
