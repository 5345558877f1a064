package rest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/shared/identity"
)

// reader is a node or connector in an answer.
type reader struct {
	Kind string `json:"kind" enum:"node,connector"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

type waitAnswer struct {
	Body struct {
		Revision uint64   `json:"revision"`
		Applied  []reader `json:"applied" doc:"Have applied the revision, or need nothing of it"`
		Pending  []reader `json:"pending" doc:"Connected, and have not applied it yet"`
		Offline  []reader `json:"offline" doc:"Not connected, or silent for so long that they count as dead: not waited for. They will follow when they are back, and are not named in DNS answers"`
	}
}

type authorityView struct {
	Kind           string `json:"kind" enum:"identity,web"`
	CertificatePEM string `json:"certificate_pem"`
}

func (a *API) state() {
	a.probes()
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/authorities", "list-authorities", "The cluster's certificate authorities; clients trust web", "state", access.AuthoritiesRead, 200),
		func(ctx context.Context, _ *PageQuery) (*answer[page[authorityView]], error) { // one page, whatever its size
			out := page[authorityView]{Items: []authorityView{}}
			for _, kind := range []string{"identity", "web"} {
				if pem := a.World.Get().Authority(kind); pem != nil {
					out.Items = append(out.Items, authorityView{kind, string(pem)})
				}
			}
			return &answer[page[authorityView]]{Status: http.StatusOK, Body: out}, nil
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/wait", "wait", "Wait until every connected node and connector that a revision concerns has applied it", "state", access.StatusRead, 200), a.wait)
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/changes", "changes", "Wait until the configuration is newer than a revision", "state", access.MeRead, 200), a.changes)
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/status", "status", "What is online and what can't serve; of nodes, connectors and targets that the caller may see", "state", access.StatusRead, 200), a.status)
}

// changes answers as soon as there is something newer than a caller has seen, or nothing came for a while.
func (a *API) changes(ctx context.Context, in *changesInput) (*changesAnswer, error) {
	limit, err := time.ParseDuration(in.Timeout)
	if err != nil || limit < 0 {
		return nil, huma.Error422UnprocessableEntity("timeout is no duration", &huma.ErrorDetail{Message: "want a duration such as 500ms or 20s", Location: "query.timeout", Value: in.Timeout})
	}
	wait, cancel := context.WithTimeout(ctx, min(limit, 25*time.Second))
	defer cancel()
	if err := a.Push.WaitPublished(wait, model.Revision(in.After)+1); err != nil && ctx.Err() != nil {
		return nil, a.failed(ctx, ctx.Err())
	}
	out := &changesAnswer{}
	out.Body.Revision = uint64(a.Push.Published())
	return out, nil
}

type changesInput struct {
	After   uint64 `query:"after" doc:"Revision that the caller has seen"`
	Timeout string `query:"timeout" default:"20s" maxLength:"20" doc:"A duration such as 500ms or 20s, 25 s at most; then the answer is the revision that there is"`
}

type changesAnswer struct {
	Body struct {
		Revision uint64 `json:"revision" doc:"Newest of the replica that answers"`
	}
}

type waitInput struct {
	Revision uint64 `query:"revision" required:"true" doc:"As an X-Warren-Revision said"`
	Timeout  string `query:"timeout" default:"20s" maxLength:"20" doc:"A duration such as 500ms or 20s, 25 s at most; 504 when it is over"`
}

func (a *API) wait(ctx context.Context, in *waitInput) (*waitAnswer, error) {
	limit, err := time.ParseDuration(in.Timeout)
	if err != nil || limit < 0 {
		return nil, huma.Error422UnprocessableEntity("timeout is no duration", &huma.ErrorDetail{Message: "want a duration such as 500ms or 20s", Location: "query.timeout", Value: in.Timeout})
	}
	rev := model.Revision(in.Revision)
	ctx, cancel := context.WithTimeout(ctx, min(limit, 25*time.Second))
	defer cancel()
	late := func(out *waitAnswer) error {
		var names []string
		if out != nil {
			for _, r := range out.Body.Pending {
				names = append(names, r.Kind+" "+r.Name)
			}
		}
		if len(names) == 0 {
			return huma.Error504GatewayTimeout("this replica has not read the revision yet")
		}
		return huma.Error504GatewayTimeout("not yet applied by " + strings.Join(names, ", "))
	}
	if err := a.Push.WaitPublished(ctx, rev); err != nil {
		return nil, late(nil)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := a.Presence.Changed()
		out := a.applied(rev, caller(ctx))
		if len(out.Body.Pending) == 0 {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return nil, late(out)
		case <-changed:
		case <-tick.C:
		}
	}
}

// applied sorts the readers by whether they have a revision. A caller sees the connectors of his organizations,
// and all nodes, without their names if he may not read nodes.
func (a *API) applied(rev model.Revision, who access.Principal) *waitAnswer {
	names := who.Can(access.NodesRead, model.OrgID{})
	out := &waitAnswer{}
	out.Body.Revision, out.Body.Applied, out.Body.Pending, out.Body.Offline = uint64(rev), []reader{}, []reader{}, []reader{}
	put := func(r reader) {
		key := push.Reader{Kind: identity.Kind(r.Kind), ID: r.ID}
		need, err := a.Push.Required(key, rev)
		if err != nil {
			return // not a reader any more
		}
		seen := presence.Key{Kind: key.Kind, ID: key.ID}
		e, _ := a.Presence.Get(seen)
		here, since := a.Push.Applied(key)
		have := e.Applied
		if !since.IsZero() {
			have = max(have, here)
		}
		if !names && key.Kind == identity.Node {
			r.Name = ""
		}
		switch {
		case !a.Presence.Lives(time.Now(), seen, since):
			out.Body.Offline = append(out.Body.Offline, r)
		case have >= need:
			out.Body.Applied = append(out.Body.Applied, r)
		default:
			out.Body.Pending = append(out.Body.Pending, r)
		}
	}
	m := a.World.Get()
	for n := range m.Nodes() {
		if n.Enrolled() {
			put(reader{"node", n.ID.String(), n.Name})
		}
	}
	for c := range m.Connectors() {
		if c.Enrolled() && who.Can(access.ConnectorsRead, c.Org) {
			put(reader{"connector", c.ID.String(), c.Name})
		}
	}
	return out
}

type statusAnswer struct {
	Body struct {
		Revision   uint64        `json:"revision" doc:"Newest revision of this replica"`
		Replicas   []replicaView `json:"replicas"`
		Nodes      []memberView  `json:"nodes"`
		Connectors []memberView  `json:"connectors"`
		Targets    targetsView   `json:"targets"`
		Database   struct {
			OK         bool    `json:"ok"`
			AgeSeconds float64 `json:"age_seconds" doc:"Since the database last answered this replica"`
		} `json:"database"`
		PresenceShared bool `json:"presence_shared" doc:"Whether this replica hears the others"`
	}
}

type replicaView struct {
	ID       string `json:"id"`
	Revision uint64 `json:"revision,omitempty" doc:"Newest revision, of the replica that answers"`
	Self     bool   `json:"self"`
}

type memberView struct {
	Name     string       `json:"name"`
	ID       string       `json:"id"`
	Site     string       `json:"site,omitempty"`
	State    string       `json:"state" enum:"up,down,joining,revoked"`
	Applied  uint64       `json:"applied_revision"`
	Replica  string       `json:"replica,omitempty" doc:"The replica that it is connected to"`
	Version  string       `json:"version,omitempty"`
	Rejected int          `json:"rejected,omitempty" doc:"How many resources it did not apply; /debug/snapshots/{name} says which"`
	Omitted  int          `json:"rejected_omitted,omitempty" doc:"How many of these nobody can list"`
	TunnelUp int          `json:"tunnels_up"`
	Tunnels  int          `json:"tunnels"`
	States   []tunnelView `json:"tunnel_states"`
	Load     *loadView    `json:"load,omitempty" doc:"Of a node"`
	Places   []placesView `json:"places,omitempty" doc:"Of a node: its databases of addresses, in their order; without one it knows of nobody in which country he is"`
	Alarm    *alarmView   `json:"alarm,omitempty"`
}

type placesView struct {
	Path      string     `json:"path"`
	Kind      string     `json:"kind,omitempty" doc:"As the file calls itself"`
	BuiltAt   *time.Time `json:"built_at,omitempty" doc:"Of the version in use; absent if there is none"`
	Countries bool       `json:"countries" doc:"Are looked up in it"`
	Networks  bool       `json:"networks" doc:"Autonomous systems are"`
	Problem   string     `json:"problem,omitempty" doc:"Why the version that was tried last is not in use"`
}

type loadView struct {
	Processors  float64 `json:"processors" doc:"Share of its machine's processors that its program used in the last seconds, 0 to 1"`
	Connections int     `json:"connections" doc:"Of clients, open now"`
}

type tunnelView struct {
	Peer          string     `json:"peer"`
	Up            bool       `json:"up"`
	LastHandshake *time.Time `json:"last_handshake,omitempty"`
	ReceivedBytes uint64     `json:"received_bytes"`
	SentBytes     uint64     `json:"sent_bytes"`
	RoundTripMS   *float64   `json:"round_trip_ms,omitempty" doc:"Of heartbeats; absent while it is not measured"`
	Loss          float64    `json:"loss" doc:"Share of the heartbeats without an answer, 0 to 1"`
	Carrier       string     `json:"carrier,omitempty" enum:"stream,wireguard" doc:"Over what TCP goes now"`
	Transport     string     `json:"transport,omitempty" enum:"udp,tls" doc:"Of WireGuard's packets"`
}

func (a *API) status(ctx context.Context, _ *struct{}) (*statusAnswer, error) {
	who := caller(ctx)
	out := &statusAnswer{}
	b := &out.Body
	b.Revision, b.Nodes, b.Connectors = uint64(a.Push.Published()), []memberView{}, []memberView{}
	b.Replicas = []replicaView{{a.Presence.Replica(), b.Revision, true}}
	age := a.Database()
	b.Database.OK, b.Database.AgeSeconds, b.PresenceShared = age < 5*time.Second, age.Seconds(), a.Presence.Live()
	for _, e := range a.Presence.List() {
		if !slices.ContainsFunc(b.Replicas, func(r replicaView) bool { return r.ID == e.Replica }) {
			b.Replicas = append(b.Replicas, replicaView{ID: e.Replica})
		}
	}
	m := a.World.Get()
	for n := range m.Nodes() {
		if !who.Can(access.NodesRead, model.OrgID{}) {
			break
		}
		b.Nodes = append(b.Nodes, a.member(identity.Node, n.ID.String(), n.Name, n.Enrolled(), !n.Revoked.IsZero()))
	}
	for c := range m.Connectors() {
		if !who.Can(access.ConnectorsRead, c.Org) {
			continue
		}
		v := a.member(identity.Connector, c.ID.String(), c.Name, c.Enrolled(), !c.Revoked.IsZero())
		if s := m.Site(c.Site); s != nil {
			v.Site = s.Name
		}
		b.Connectors = append(b.Connectors, v)
	}
	b.Targets = a.targets(m, func(o model.OrgID) bool { return who.Can(access.TargetsRead, o) })
	return out, nil
}

func (a *API) member(kind identity.Kind, id, name string, enrolled, revoked bool) memberView {
	v := memberView{Name: name, ID: id, State: "down", States: []tunnelView{}}
	e, online := a.Presence.Get(presence.Key{Kind: kind, ID: id})
	switch {
	case revoked:
		v.State = "revoked"
		return v // an alarm is over: what still uses that identity gets nowhere
	case !enrolled || online && e.Applied == 0:
		v.State = "joining"
	case online:
		v.State = "up"
	}
	v.Alarm = a.alarm(kind, id, name)
	if !online {
		return v
	}
	v.Applied, v.Replica, v.Version = uint64(e.Applied), e.Replica, e.Version
	v.Rejected, v.Omitted = len(e.Rejected)+e.Omitted, e.Omitted
	if e.Load != nil {
		v.Load = &loadView{e.Load.Processors, e.Load.Connections}
	}
	for _, f := range e.Places {
		pv := placesView{Path: f.Path, Kind: f.Kind, Countries: f.Countries, Networks: f.Networks, Problem: f.Problem}
		if !f.Built.IsZero() {
			at := f.Built.UTC()
			pv.BuiltAt = &at
		}
		v.Places = append(v.Places, pv)
	}
	for _, t := range e.Tunnels {
		tv := tunnelView{Peer: t.Peer, Up: t.Up, ReceivedBytes: t.ReceivedBytes, SentBytes: t.SentBytes, Loss: t.Loss, Carrier: t.Carrier, Transport: t.Transport}
		if t.RoundTrip > 0 {
			ms := float64(t.RoundTrip.Microseconds()) / 1000
			tv.RoundTripMS = &ms
		}
		if !t.LastHandshake.IsZero() {
			at := t.LastHandshake.UTC()
			tv.LastHandshake = &at
		}
		v.States = append(v.States, tv)
		v.Tunnels++
		if t.Up {
			v.TunnelUp++
		}
	}
	return v
}
