package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/warrenedge/warren/dataplane/docker"
	"github.com/warrenedge/warren/shared/hostname"
)

// Docker is the container engine whose labels a connector follows.
type Docker struct {
	Socket      string        `yaml:"socket" env:"SOCKET"`             // of Docker or Podman, such as /var/run/docker.sock; "": no engine is read
	Network     string        `yaml:"network" env:"NETWORK"`           // in which containers are reached that are in several, unless a label says otherwise
	HostAddress string        `yaml:"host_address" env:"HOST_ADDRESS"` // of this machine in the site: containers are reached at their published ports there; "": at their own addresses
	Routed      bool          `yaml:"routed" env:"ROUTED"`             // the whole site reaches containers at their own addresses, as with macvlan: other connectors may, too
	Grace       time.Duration `yaml:"grace" env:"GRACE"`               // how long a container that has stopped stays published; for six times as long after a start nothing goes at all
}

const (
	dockerGrace    = 10 * time.Second
	maxDockerGrace = time.Hour
	unixScheme     = "unix://" // as DOCKER_HOST has it
)

// validate says everything that is wrong.
func (d *Docker) validate() error {
	var errs []error
	if d.Socket == "" && (d.Network != "" || d.HostAddress != "" || d.Routed) {
		errs = append(errs, errors.New("docker.socket: missing, the rest of docker says nothing without it"))
	}
	if p := d.path(); p != "" && !filepath.IsAbs(p) {
		errs = append(errs, fmt.Errorf("docker.socket: %q, want the path of a socket, such as /var/run/docker.sock", d.Socket))
	}
	if d.HostAddress != "" {
		_, notAddress := netip.ParseAddr(d.HostAddress)
		if _, notName := hostname.Canonical(d.HostAddress); notAddress != nil && notName != nil {
			errs = append(errs, fmt.Errorf("docker.host_address: %q, want an address or name of this machine without a port", d.HostAddress))
		}
	}
	if d.Routed && d.HostAddress != "" {
		errs = append(errs, errors.New("docker.routed: containers are reached at docker.host_address, want one of the two"))
	}
	if d.Grace < 0 || d.Grace > maxDockerGrace {
		errs = append(errs, fmt.Errorf("docker.grace: %s, want 0s to %s", d.Grace, maxDockerGrace))
	}
	return errors.Join(errs...)
}

func (d *Docker) path() string { return strings.TrimPrefix(d.Socket, unixScheme) }

// Labels is which engine's labels are followed, if any.
func (d *Docker) Labels() (docker.Config, bool) {
	return docker.Config{
		Options: docker.Options{Network: d.Network, HostAddress: d.HostAddress, Routed: d.Routed}, Socket: d.path(), Grace: d.Grace,
	}, d.Socket != ""
}
