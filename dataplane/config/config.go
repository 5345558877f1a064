// Package config is the local settings of a node or connector: addresses and a state directory. All else
// is pushed.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"

	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/dataplane/logsink"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/hostname"
	"github.com/warrenedge/warren/shared/settings"
)

// Common is what both programs need.
type Common struct {
	Name      string   `yaml:"name" env:"NAME"`             // as it was made with warren node join or warren site join
	StateDir  string   `yaml:"state_dir" env:"STATE_DIR"`   // identity, keys and the last snapshot
	Control   []string `yaml:"control" env:"CONTROL"`       // host:port of the control plane's push port, tried in turn
	TokenFile string   `yaml:"token_file" env:"TOKEN_FILE"` // join token, read once
	Token     string   `yaml:"-" env:"TOKEN,unset"`         // instead of TokenFile
	LogFormat string   `yaml:"log_format" env:"LOG_FORMAT"` // text or json
	LogLevel  string   `yaml:"log_level" env:"LOG_LEVEL"`   // debug, info, warn or error
}

// Node is the settings of warren-node.
type Node struct {
	Common            `yaml:",inline"`
	PublicAddresses   []netip.Addr  `yaml:"public_addresses" env:"PUBLIC_ADDRESSES"`     // what DNS answers with, unless the operator says otherwise
	PublicName        string        `yaml:"public_name" env:"PUBLIC_NAME"`               // instead: a hostname that has them, looked up again and again; something else than Warren keeps it
	PublicNameEvery   time.Duration `yaml:"public_name_every" env:"PUBLIC_NAME_EVERY"`   // so often: as long as the name's answers live
	WireGuardEndpoint string        `yaml:"wireguard_endpoint" env:"WIREGUARD_ENDPOINT"` // ip:port or name:port where tunnels reach this node; default: the public name or first public address, and the port below
	StreamEndpoint    string        `yaml:"stream_endpoint" env:"STREAM_ENDPOINT"`       // the same, where connectors dial streams; default: the public name or first public address, and the port of listen.https
	GossipEndpoint    string        `yaml:"gossip_endpoint" env:"GOSSIP_ENDPOINT"`       // the same, where other nodes reach the gossip; default: the public name or first public address, and port 7946
	Tunnel            string        `yaml:"tunnel" env:"TUNNEL"`                         // auto, tun or netstack
	Interface         string        `yaml:"interface" env:"INTERFACE"`                   // of tun
	DrainTime         time.Duration `yaml:"drain_time" env:"DRAIN_TIME"`                 // between SIGTERM, when others stop naming this node, and the end of its listeners
	AccessLog         string        `yaml:"access_log" env:"ACCESS_LOG"`                 // a JSON line a request: file, opened anew at SIGHUP, or "-" for standard output; "" for none
	RequestLog        RequestLog    `yaml:"request_log" envPrefix:"REQUEST_LOG_"`        // where records of requests go
	GeoIP             []string      `yaml:"geoip" env:"GEOIP"`                           // files in MaxMind's format with countries, autonomous systems or both; read anew when they change
	Listen            NodeListen    `yaml:"listen" envPrefix:"LISTEN_"`
}

// RequestLog is where records of requests go.
type RequestLog struct {
	KeepHere bool             `yaml:"keep_here" env:"KEEP_HERE"` // no record goes to the control plane, which hears of sums alone
	Sinks    []logsink.Config `yaml:"sinks"`
}

// NodeListen is where a node listens.
type NodeListen struct {
	HTTPS     string `yaml:"https" env:"HTTPS"`
	HTTP      string `yaml:"http" env:"HTTP"` // redirects to HTTPS, HTTP-01 challenges; "" for none; not written: DefaultHTTP where that is free
	DNS       string `yaml:"dns" env:"DNS"`   // UDP and TCP
	WireGuard uint16 `yaml:"wireguard" env:"WIREGUARD"`
	Gossip    string `yaml:"gossip" env:"GOSSIP"` // UDP and TCP; "" for none: the control plane alone says who is alive
	// ForwardHost is the address of the ports of TCP and UDP services; "" for all of this machine. Which
	// ports those are is pushed.
	ForwardHost string `yaml:"forward_host" env:"FORWARD_HOST"`
	Admin       string `yaml:"admin" env:"ADMIN"` // metrics, health, profiles: host:port, or unix: and the path of a socket, which gives no profiles; "" for none

	HTTPByDefault bool `yaml:"-"` // HTTP is DefaultHTTP because nothing was written: the node does without if another has the port
}

// Connector is the settings of warren-connector.
type Connector struct {
	Common    `yaml:",inline"`
	Tunnel    string `yaml:"tunnel" env:"TUNNEL"`       // auto, tun or netstack
	Interface string `yaml:"interface" env:"INTERFACE"` // of tun
	Docker    Docker `yaml:"docker" envPrefix:"DOCKER_"`
	TellPorts bool   `yaml:"tell_ports" env:"TELL_PORTS"` // on which this machine listens, so that the console offers them
	Listen    struct {
		Admin string `yaml:"admin" env:"ADMIN"`
	} `yaml:"listen" envPrefix:"LISTEN_"`
}

// LoadNode reads settings: defaults, then the file if path is not "", then WARREN_NODE_… variables.
func LoadNode(path string) (*Node, error) {
	c := &Node{
		Common: Common{StateDir: "/var/lib/warren-node", LogFormat: "text", LogLevel: "info"},
		Tunnel: tunnel.ModeAuto, Interface: tunnel.DefaultInterface, DrainTime: time.Second, PublicNameEvery: dial.LookEvery,
		Listen: NodeListen{HTTPS: ":443", HTTP: unwritten, DNS: ":53", WireGuard: 51820, Gossip: ":7946", Admin: "127.0.0.1:9090"},
	}
	if err := load(path, c, "WARREN_NODE_"); err != nil {
		return nil, err
	}
	if c.Listen.HTTP == unwritten {
		c.Listen.HTTP, c.Listen.HTTPByDefault = DefaultHTTP, true
	}
	if name, err := hostname.Canonical(c.PublicName); err == nil {
		c.PublicName = name
	}
	c.reach(&c.WireGuardEndpoint, c.Listen.WireGuard)
	c.reach(&c.StreamEndpoint, portOf(c.Listen.HTTPS))
	c.reach(&c.GossipEndpoint, gossipPort)
	return c, c.Validate()
}

// DefaultHTTP is where a node listens for HTTP without TLS if nothing is written about it.
const DefaultHTTP = ":80"

// unwritten stands for what nobody has written: it is no address.
const unwritten = "\x00"

const gossipPort = 7946

// reach fills in an endpoint that is not said with a port of the public name, or of the first public address.
func (c *Node) reach(endpoint *string, port uint16) {
	switch {
	case *endpoint != "" || port == 0:
	case c.PublicName != "":
		*endpoint = net.JoinHostPort(c.PublicName, strconv.Itoa(int(port)))
	case len(c.PublicAddresses) > 0:
		*endpoint = netip.AddrPortFrom(c.PublicAddresses[0], port).String()
	}
}

// portOf is the port of a listen address, 0 if it has none that is a number.
func portOf(listen string) uint16 {
	_, text, _ := net.SplitHostPort(listen)
	port, _ := strconv.ParseUint(text, 10, 16)
	return uint16(port)
}

// HTTPSPort is the port at which clients find HTTPS.
func (c *Node) HTTPSPort() uint16 { return portOf(c.Listen.HTTPS) }

// LoadConnector reads settings: defaults, then the file if path is not "", then WARREN_CONNECTOR_… variables.
func LoadConnector(path string) (*Connector, error) {
	c := &Connector{
		Common: Common{StateDir: "/var/lib/warren-connector", LogFormat: "text", LogLevel: "info"},
		Tunnel: tunnel.ModeAuto, Interface: tunnel.DefaultInterface, Docker: Docker{Grace: dockerGrace}, TellPorts: true,
	}
	if err := load(path, c, "WARREN_CONNECTOR_"); err != nil {
		return nil, err
	}
	return c, c.Validate()
}

func load(path string, into any, prefix string) error {
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("settings: %w", err)
		}
		if err := settings.OneDocument(b); err != nil {
			return fmt.Errorf("settings %s: %w", path, err)
		}
		err = yaml.NewDecoder(bytes.NewReader(b), yaml.Strict(), yaml.UseJSONUnmarshaler()).Decode(into)
		if err != nil && !errors.Is(err, io.EOF) { // an empty file is no mistake
			return fmt.Errorf("settings %s: %s", path, yaml.FormatError(err, false, true))
		}
	}
	if err := settings.Environment(prefix, into); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if err := env.ParseWithOptions(into, env.Options{Prefix: prefix}); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return nil
}

var nameSyntax = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Validate says everything that is wrong.
func (c *Common) Validate() error {
	var errs []error
	if !nameSyntax.MatchString(c.Name) {
		errs = append(errs, fmt.Errorf("name: %q, want lower-case letters, digits and inner hyphens, 63 at most", c.Name))
	}
	if c.StateDir == "" {
		errs = append(errs, errors.New("state_dir: missing"))
	}
	if len(c.Control) == 0 {
		errs = append(errs, errors.New("control: missing, want host:port of the control plane's push port"))
	}
	for i, a := range c.Control {
		errs = append(errs, hostPort(fmt.Sprintf("control[%d]", i), a))
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		errs = append(errs, fmt.Errorf("log_format: %q, want text or json", c.LogFormat))
	}
	if _, err := level(c.LogLevel); err != nil {
		errs = append(errs, fmt.Errorf("log_level: %w", err))
	}
	return errors.Join(errs...)
}

// Validate says everything that is wrong.
func (c *Node) Validate() error {
	errs := []error{c.Common.Validate(), hostPort("listen.https", c.Listen.HTTPS), hostPort("listen.dns", c.Listen.DNS)}
	errs = append(errs, adminAt(c.Listen.Admin))
	if c.Listen.HTTP != "" {
		errs = append(errs, hostPort("listen.http", c.Listen.HTTP))
	}
	if c.Listen.Gossip != "" {
		errs = append(errs, hostPort("listen.gossip", c.Listen.Gossip))
	}
	if c.Listen.ForwardHost != "" {
		if _, err := netip.ParseAddr(c.Listen.ForwardHost); err != nil {
			errs = append(errs, fmt.Errorf("listen.forward_host: %q, want an address of this machine without a port", c.Listen.ForwardHost))
		}
	}
	if c.Listen.WireGuard == 0 {
		errs = append(errs, errors.New("listen.wireguard: want a port"))
	}
	for i := range c.RequestLog.Sinks {
		if err := c.RequestLog.Sinks[i].Validate(); err != nil {
			errs = append(errs, fmt.Errorf("request_log.sinks[%d].%w", i, err))
		}
	}
	if c.DrainTime < 0 {
		errs = append(errs, fmt.Errorf("drain_time: %s, want 0s or more", c.DrainTime))
	}
	errs = append(errs, c.named(), reached("wireguard_endpoint", c.WireGuardEndpoint), reached("stream_endpoint", c.StreamEndpoint), reached("gossip_endpoint", c.GossipEndpoint))
	return errors.Join(append(errs, device(c.Tunnel))...)
}

// lookLatest is how seldom a node may look its name up.
const lookLatest = time.Hour

// named accepts a public name that can be looked up, where there are no addresses.
func (c *Node) named() error {
	if every := c.PublicNameEvery; every < dial.LookSoonest || every > lookLatest {
		return fmt.Errorf("public_name_every: %s, want %s to %s", every, dial.LookSoonest, lookLatest)
	}
	if c.PublicName == "" {
		return nil
	}
	if _, err := hostname.Canonical(c.PublicName); err != nil {
		return fmt.Errorf("public_name: %q, want a hostname: %w", c.PublicName, err)
	}
	if len(c.PublicAddresses) > 0 {
		return errors.New("public_name: beside public_addresses: want one of them, the name's addresses are what DNS answers with")
	}
	return nil
}

// device accepts what a tunnel may stand on.
func device(mode string) error {
	switch mode {
	case tunnel.ModeAuto, tunnel.ModeTUN, tunnel.ModeNetstack:
		return nil
	}
	return fmt.Errorf("tunnel: %q, want %s, %s or %s", mode, tunnel.ModeAuto, tunnel.ModeTUN, tunnel.ModeNetstack)
}

// Validate says everything that is wrong.
func (c *Connector) Validate() error {
	return errors.Join(c.Common.Validate(), device(c.Tunnel), c.Docker.validate(), adminAt(c.Listen.Admin))
}

// reached accepts where something is reached, or nothing.
func reached(field, s string) error {
	if s == "" {
		return nil
	}
	if _, err := endpoint.Parse(s); err != nil {
		return fmt.Errorf("%s: %q: %w", field, s, err)
	}
	return nil
}

// adminAt accepts where the admin listener may be, or nothing.
func adminAt(s string) error {
	path, socket := strings.CutPrefix(s, "unix:")
	switch {
	case s == "" || socket && filepath.IsAbs(path):
		return nil
	case socket:
		return fmt.Errorf("listen.admin: %q, want unix: and an absolute path", s)
	}
	return hostPort("listen.admin", s)
}

func hostPort(field, s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil && port == "" {
		err = errors.New("no port")
	}
	if err != nil {
		return fmt.Errorf("%s: %q, want host:port: %w", field, s, err)
	}
	return nil
}
