package model

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
)

// MaxPorts is how many ports one service may have.
const MaxPorts = 1000

// Ports are consecutive ports of a transport protocol, both ends included. The zero Ports are none.
type Ports struct{ First, Last uint16 }

// ParsePorts reads "5432" or "6000-6010".
func ParsePorts(s string) (Ports, error) {
	from, to, ranged := strings.Cut(s, "-")
	if !ranged {
		to = from
	}
	first, err := parsePort(from)
	if err != nil {
		return Ports{}, err
	}
	last, err := parsePort(to)
	if err != nil {
		return Ports{}, err
	}
	return Ports{first, last}, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, fmt.Errorf("%q is no port: want a number from 1 to 65535, or two as in 6000-6010", s)
	}
	return uint16(n), nil
}

// String is the text form that ParsePorts reads; "" for none.
func (p Ports) String() string {
	switch {
	case p.IsZero():
		return ""
	case p.First == p.Last:
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// IsZero reports whether there are none.
func (p Ports) IsZero() bool { return p == Ports{} }

// Count is how many there are.
func (p Ports) Count() int {
	if p.IsZero() {
		return 0
	}
	return int(p.Last) - int(p.First) + 1
}

// Overlaps reports whether two ranges share a port.
func (p Ports) Overlaps(o Ports) bool {
	return !p.IsZero() && !o.IsZero() && p.First <= o.Last && o.First <= p.Last
}

// taken are the ports on which nodes listen by themselves unless their own settings say otherwise.
var taken = map[ServiceKind][]struct {
	port uint16
	why  string
}{
	TCP: {{53, "DNS"}, {443, "HTTPS and TLS services"}, {7946, "gossip between nodes"}},
	UDP: {{53, "DNS"}, {7946, "gossip between nodes"}, {51820, "WireGuard"}},
}

func (p Ports) validate(kind ServiceKind) error {
	switch {
	case p.IsZero():
		return fault.Field("ports", "missing: a %s service is reached at ports", kind)
	case p.First == 0 || p.First > p.Last:
		return fault.Field("ports", "%d-%d: the last port is before the first", p.First, p.Last)
	case p.Count() > MaxPorts:
		return fault.Field("ports", "%s are %d ports, want %d at most", p, p.Count(), MaxPorts)
	}
	for _, t := range taken[kind] {
		if p.Overlaps(Ports{t.port, t.port}) {
			return fault.Field("ports", "%s port %d is what nodes use for %s", kind, t.port, t.why)
		}
	}
	return nil
}
