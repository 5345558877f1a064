package model

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/hostname"
)

// Bounds of what a site may publish, and of what a connector may ask for.
const (
	MaxPublishRules     = 64
	MaxPublicationItems = 500  // services
	MaxPublishedTargets = 2000 // of all services of a connector
	MaxPublishText      = 1024 // bytes of one field
)

// Publish is what the connectors of a site may publish of their own accord, by labels of containers.
type Publish struct {
	Hostnames []string // canonical patterns, sorted, different; a wildcard stands for one label
	Ports     []Ports  // of services at ports; sorted, different
}

// Validate names the field that is wrong.
func (p *Publish) Validate() error {
	if len(p.Hostnames) > MaxPublishRules || len(p.Ports) > MaxPublishRules {
		return fault.Field("publish", "want %d hostnames and %d ranges of ports at most", MaxPublishRules, MaxPublishRules)
	}
	for i, h := range p.Hostnames {
		if err := checkCanonical(fmt.Sprintf("publish.hostnames[%d]", i), h, hostname.CanonicalPattern); err != nil {
			return err
		}
	}
	for i, r := range p.Ports {
		if r.IsZero() || r.Last < r.First {
			return fault.Field(fmt.Sprintf("publish.ports[%d]", i), "%s, want ports in ascending order", r)
		}
	}
	return nil
}

// Allows says why a service may not be published of a connector's own accord.
func (p *Publish) Allows(s *Service) error {
	if s.Raw() {
		for _, r := range p.Ports {
			if r.First <= s.Ports.First && s.Ports.Last <= r.Last {
				return nil
			}
		}
		return fault.Field("ports", "%s is not among the ports that the site may publish", s.Ports)
	}
	for _, h := range p.Hostnames {
		if hostname.Match(h, s.Hostname) {
			return nil
		}
	}
	return fault.Field("hostname", "%s is not among the hostnames that the site may publish", s.Hostname)
}

// Publication is what the labels of containers beside a connector ask for, as it said last.
type Publication struct {
	Connector ConnectorID
	Org       OrgID
	Site      SiteID
	Name      string // the connector's
	Engine    string // whose containers they are
	Anywhere  bool   // addresses are good from every machine of the site
	Partial   bool   // nothing goes because it is not here
	Trouble   string // why the engine can't be read now; the rest is from before
	Services  []PublishedService
	Held      []string // services of which nothing is to be changed
	Problems  []PublishProblem
	Said      time.Time
	Meta
}

// PublishedService is a service that labels ask for, in the words of the API.
type PublishedService struct {
	Name          string            `json:"name"`
	Kind          string            `json:"kind"`
	Hostname      string            `json:"hostname,omitempty"`
	Pool          string            `json:"pool,omitempty"` // "": the site's
	Ports         string            `json:"ports,omitempty"`
	Allow         []string          `json:"allow,omitempty"`
	ProxyProtocol int               `json:"proxy_protocol,omitempty"`
	Terminate     bool              `json:"terminate,omitempty"`
	Policy        string            `json:"policy,omitempty"`
	Targets       []PublishedTarget `json:"targets"`
}

// PublishedTarget is a container behind it.
type PublishedTarget struct {
	Name        string          `json:"name,omitempty"` // of the target; see MergePublications
	Container   string          `json:"container"`
	Address     string          `json:"address"`
	Port        int             `json:"port"`
	PathPrefix  string          `json:"path_prefix,omitempty"`
	Weight      int             `json:"weight,omitempty"`
	Scheme      string          `json:"scheme,omitempty"`
	ServerName  string          `json:"server_name,omitempty"`
	StripPrefix bool            `json:"strip_prefix,omitempty"`
	HealthCheck *PublishedCheck `json:"health_check,omitempty"`
}

// PublishedCheck is how it is checked.
type PublishedCheck struct {
	Kind               string   `json:"kind"`
	Interval           string   `json:"interval,omitempty"`
	Timeout            string   `json:"timeout,omitempty"`
	HealthyThreshold   int      `json:"healthy_threshold,omitempty"`
	UnhealthyThreshold int      `json:"unhealthy_threshold,omitempty"`
	Method             string   `json:"method,omitempty"`
	Path               string   `json:"path,omitempty"`
	Host               string   `json:"host,omitempty"`
	ExpectedStatuses   []string `json:"expected_statuses,omitempty"`
	BodyContains       string   `json:"body_contains,omitempty"`
	TLS                bool     `json:"tls,omitempty"`
}

// PublishProblem is why something that labels ask for is not so.
type PublishProblem struct {
	Service   string `json:"service,omitempty" doc:"Absent: it is about none"`
	Container string `json:"container,omitempty"`
	Label     string `json:"label,omitempty"`
	Connector string `json:"connector,omitempty" doc:"Whose labels they are; absent: of several"`
	Message   string `json:"message"`
}

// Published is what became of what the labels at a site ask for.
type Published struct {
	Site     SiteID
	Org      OrgID
	Services []string // names of those that it has published, sorted
	Problems []PublishProblem
}

// Wishes are what all connectors of a site ask for together.
type Wishes struct {
	Services []PublishedService // by name, each once
	Held     map[string]bool    // services of which nothing is to be changed
	Partial  bool               // nothing goes because it is not here
	Problems []PublishProblem

	// Local is who asks for containers whose addresses only mean something on one machine, "" if nobody does; Beside are the
	// connectors that read the same engine, and so are on that machine.
	Local  string
	Beside []ConnectorID
}

// Astray are the connectors of a site that may be asked to reach a container's address on another machine, by name.
func (w *Wishes) Astray(site []*Connector) (names []string) {
	if w.Local == "" {
		return nil
	}
	for _, v := range site {
		if v.Enrolled() && !slices.Contains(w.Beside, v.ID) {
			names = append(names, v.Name)
		}
	}
	slices.Sort(names)
	return names
}

// MergePublications makes one of what the connectors of a site ask for. Of connectors that read the same engine, who said
// something last is right. Addresses that only mean something on one machine are taken from one engine: another connector
// of the site would reach something else there.
func MergePublications(list []*Publication) Wishes {
	out := Wishes{Held: map[string]bool{}}
	by, from, disputed := map[string]PublishedService{}, map[string]string{}, map[string]bool{}
	for i, p := range engines(list, &out) {
		out.Partial = out.Partial || p.Partial
		for _, h := range p.Held {
			out.Held[h] = true
		}
		for _, problem := range p.Problems {
			problem.Connector = p.Name
			out.Problems = append(out.Problems, problem)
		}
		if i > 0 && !p.Anywhere && len(p.Services) > 0 {
			out.Problems = append(out.Problems, PublishProblem{Connector: p.Name, Message: "another connector of the site reads another engine, and the addresses of these containers are good on their machine only: set docker.host_address of the connector, docker.routed if the whole site reaches them, or make a site of its own for it"})
			for _, s := range p.Services {
				out.Held[s.Name] = true
			}
			continue
		}
		if !p.Anywhere && len(p.Services) > 0 {
			out.Local, out.Beside = p.Name, readers(list, p.Engine)
		}
		for _, s := range p.Services {
			s.Targets = slices.Clone(s.Targets)
			for n := range s.Targets {
				s.Targets[n].Name = targetName(p, s.Name, &s.Targets[n])
			}
			have, there := by[s.Name]
			switch {
			case !there:
				from[s.Name] = p.Name
			case sameService(have, s):
				s.Targets = slices.Concat(have.Targets, s.Targets)
			case !disputed[s.Name]:
				disputed[s.Name], out.Held[s.Name] = true, true
				out.Problems = append(out.Problems, PublishProblem{Service: s.Name, Message: fmt.Sprintf("the labels that connector %s reads and those that %s reads say different things", from[s.Name], p.Name)})
			}
			by[s.Name] = s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if !disputed[name] {
			out.Services = append(out.Services, by[name])
		}
	}
	return out
}

// engines are the newest words about each engine, the engine that was heard of first at first.
func engines(list []*Publication, out *Wishes) (of []*Publication) {
	ordered := slices.SortedFunc(slices.Values(list), func(a, b *Publication) int {
		return cmp.Or(a.Created.Compare(b.Created), a.Connector.Compare(b.Connector))
	})
	for _, p := range ordered {
		if p.Trouble != "" {
			out.Problems = append(out.Problems, PublishProblem{Connector: p.Name, Message: p.Trouble})
		}
		if p.Engine == "" { // it has never read one
			out.Partial = true
			continue
		}
		at := slices.IndexFunc(of, func(o *Publication) bool { return o.Engine == p.Engine })
		switch {
		case at < 0:
			of = append(of, p)
		case p.Said.After(of[at].Said):
			of[at] = p
		}
	}
	return of
}

// readers are the connectors that have read an engine.
func readers(list []*Publication, engine string) (out []ConnectorID) {
	for _, p := range list {
		if p.Engine == engine {
			out = append(out, p.Connector)
		}
	}
	return out
}

// sameService compares what is not of the targets.
func sameService(a, b PublishedService) bool {
	a.Targets, b.Targets = nil, nil
	return reflect.DeepEqual(a, b)
}

// targetName is the same for a container of the same name, whatever its address is now; two sites never make the same.
func targetName(p *Publication, service string, t *PublishedTarget) string {
	key := p.Site.String() + "\n" + service + "\n" + t.Container
	if p.Anywhere {
		key += "\n" + t.Address // containers of two machines may have the same name
	}
	sum := sha256.Sum256([]byte(key))
	slug := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, t.Container)
	slug = strings.Trim(slug[:min(len(slug), 40)], "-")
	return strings.TrimPrefix(slug+"-"+hex.EncodeToString(sum[:4]), "-")
}
