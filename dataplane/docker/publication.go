// Package docker reads from a container engine's socket which services its containers ask for.
//
// Labels say it in the words of manifests: warren.enable=true, warren.service.NAME.hostname=…, .policy, .port,
// .health_check.path. What a label says is a wish: the control plane decides what of it the site may publish. The socket is
// only read from.
package docker

import (
	"fmt"
	"strings"
)

// Publication is what the labels of an engine's containers ask for.
type Publication struct {
	Engine   string    // whose containers they are
	Anywhere bool      // addresses are good on every machine of the site, not just on this one
	Partial  bool      // there may be more that is not up yet: nothing goes because it is not here
	Services []Service // by name
	Held     []string  // services that labels speak of without making sense: what there is of them stays; sorted
	Problems []Problem
	Trouble  string // why the engine can't be read; nothing else is said then, and what was said last stands
}

// Service is what containers ask to be published as. Empty fields are not said.
type Service struct {
	Name          string
	Kind          string
	Hostname      string
	Pool          string
	Ports         string
	Allow         []string
	ProxyProtocol int
	Terminate     bool
	Policy        string
	Targets       []Target // by container
}

// Target is a container behind a service.
type Target struct {
	Container   string // its name
	Address     string
	Port        int
	PathPrefix  string
	Weight      int
	Scheme      string
	ServerName  string
	StripPrefix bool
	HealthCheck *HealthCheck
}

// HealthCheck is how a target is checked.
type HealthCheck struct {
	Kind               string
	Interval           string
	Timeout            string
	HealthyThreshold   int
	UnhealthyThreshold int
	Method             string
	Path               string
	Host               string
	ExpectedStatuses   []string
	BodyContains       string
	TLS                bool
}

// Problem is why something that labels ask for is not asked of the control plane, or not granted by it.
type Problem struct {
	Service   string // "": it is about none
	Container string // "": it is about more than one
	Label     string
	Message   string
}

func (p Problem) String() string {
	var b strings.Builder
	if p.Service != "" {
		fmt.Fprintf(&b, "service %s: ", p.Service)
	}
	if p.Container != "" {
		fmt.Fprintf(&b, "container %s: ", p.Container)
	}
	if p.Label != "" {
		fmt.Fprintf(&b, "label %s: ", p.Label)
	}
	return b.String() + p.Message
}
