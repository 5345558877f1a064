package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

type fleetAnswer struct {
	Body struct {
		Revision uint64       `json:"revision"`
		Items    []FleetEntry `json:"items"`
	}
}

type FleetEntry struct {
	Kind    string `json:"kind" enum:"node,connector"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Status  string `json:"status" enum:"synced,pending,offline"`
	Applied uint64 `json:"applied_revision"`
	Replica string `json:"replica,omitempty" doc:"The replica that it is connected to"`
}

type snapshotAnswer struct {
	Body struct {
		FleetEntry
		Scopes    []string       `json:"scopes" doc:"Whose resources it reads"`
		Revision  uint64         `json:"revision" doc:"Newest of the replica that answers"`
		Omitted   int            `json:"rejected_omitted,omitempty" doc:"How many more resources are rejected than are listed as such"`
		Resources []resourceView `json:"resources"`
		Presence  []presenceView `json:"presence" doc:"What is true now, and takes no revision"`
	}
}

type resourceView struct {
	Type         string          `json:"type"`
	Name         string          `json:"name"`
	Status       string          `json:"status" enum:"synced,pending,rejected,unknown,problem,offline" doc:"unknown: more was rejected than is listed, perhaps this"`
	Reason       string          `json:"reason,omitempty" doc:"Why it was rejected, is not known, or can't be compiled"`
	Desired      *versionView    `json:"desired,omitempty"`
	Sent         *versionView    `json:"sent,omitempty"`
	Acknowledged *versionView    `json:"acknowledged,omitempty"`
	Applied      *versionView    `json:"applied,omitempty"`
	Content      json.RawMessage `json:"content,omitempty" doc:"What is desired; keys as fingerprints"`
	Former       *formerView     `json:"former,omitempty" doc:"What it was before, of a resource that is not in sync, as far as the replica that answers knows"`
}

type formerView struct {
	Version string          `json:"version"`
	Until   uint64          `json:"until_revision" doc:"That replaced it"`
	Applied bool            `json:"applied" doc:"It is what is applied; else what is applied is not known, and this is what it was last"`
	Content json.RawMessage `json:"content,omitempty" doc:"Keys as fingerprints"`
}

type presenceView struct {
	Type    string          `json:"type"`
	Name    string          `json:"name"`
	Sent    bool            `json:"sent" doc:"By the replica that answers"`
	Reason  string          `json:"reason,omitempty" doc:"Why a target is unhealthy"`
	Content json.RawMessage `json:"content"`
}

type versionView struct {
	Version  string `json:"version"`
	Revision uint64 `json:"revision"`
}

func (a *API) snapshots() {
	huma.Register(a.huma, operation(http.MethodGet, "/debug/snapshots", "list-snapshots", "Every node and connector, and whether it is in sync", "debug", access.SnapshotsRead, 200),
		func(ctx context.Context, _ *struct{}) (*fleetAnswer, error) {
			if err := caller(ctx).Check(access.SnapshotsRead); err != nil {
				return nil, a.failed(ctx, err)
			}
			out := &fleetAnswer{}
			out.Body.Revision, out.Body.Items = uint64(a.Push.Published()), []FleetEntry{}
			for _, r := range a.readers() {
				out.Body.Items = append(out.Body.Items, a.fleet(r))
			}
			return out, nil
		})
	huma.Register(a.huma, operation(http.MethodGet, "/debug/snapshots/{name}", "get-snapshot",
		"What a node or connector should hold: each resource as desired, sent, acknowledged and applied", "debug", access.SnapshotsRead, 200),
		func(ctx context.Context, in *oneInput) (*snapshotAnswer, error) {
			if err := caller(ctx).Check(access.SnapshotsRead); err != nil {
				return nil, a.failed(ctx, err)
			}
			for _, r := range a.readers() {
				if r.ID == in.Name || r.Name == in.Name {
					return a.snapshot(ctx, r)
				}
			}
			return nil, a.failed(ctx, fault.New(fault.NotFound, "no node or connector %q that has joined", in.Name))
		})
}

// readers lists who has joined and is trusted, nodes first.
func (a *API) readers() []reader {
	var out []reader
	m := a.World.Get()
	for n := range m.Nodes() {
		if n.Enrolled() {
			out = append(out, reader{"node", n.ID.String(), n.Name})
		}
	}
	for c := range m.Connectors() {
		if c.Enrolled() {
			out = append(out, reader{"connector", c.ID.String(), c.Name})
		}
	}
	return out
}

func (a *API) fleet(r reader) FleetEntry {
	e := FleetEntry{Kind: r.Kind, ID: r.ID, Name: r.Name, Status: "offline"}
	k := push.Reader{Kind: identity.Kind(r.Kind), ID: r.ID}
	who := presence.Key{Kind: k.Kind, ID: k.ID}
	seen, _ := a.Presence.Get(who)
	have := seen.Applied
	here, since := a.Push.Applied(k)
	if !since.IsZero() {
		have, seen.Replica = max(have, here), a.Presence.Replica()
	}
	e.Applied, e.Replica = uint64(have), seen.Replica
	if !a.Presence.Lives(time.Now(), who, since) {
		return e
	}
	e.Status = "pending"
	if need, err := a.Push.Required(k, a.Push.Published()); err == nil && have >= need {
		e.Status = "synced"
	}
	return e
}

func (a *API) snapshot(ctx context.Context, r reader) (*snapshotAnswer, error) {
	v, err := a.Push.Debug(push.Reader{Kind: identity.Kind(r.Kind), ID: r.ID}, a.elsewhere(r))
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	out := &snapshotAnswer{}
	b := &out.Body
	b.FleetEntry, b.Scopes, b.Revision, b.Resources = a.fleet(r), v.Scopes, uint64(v.Revision), []resourceView{}
	b.Omitted = v.Omitted
	for _, res := range v.Resources {
		view := resourceView{
			Type: resource.ShortType(res.TypeURL), Name: res.Name, Status: string(res.Status), Reason: res.Reason,
			Desired: at(res.Desired.Version, res.Desired.Revision), Sent: at(res.Sent.Version, res.Sent.Revision),
			Acknowledged: at(res.Acknowledged.Version, res.Acknowledged.Revision), Applied: at(res.Applied.Version, res.Applied.Revision),
		}
		if res.Content != nil {
			if view.Content, err = snapshot.Shown(res.Content); err != nil {
				return nil, a.failed(ctx, err)
			}
		}
		if view.Former, err = a.former(res); err != nil {
			return nil, a.failed(ctx, err)
		}
		b.Resources = append(b.Resources, view)
	}
	if b.Presence, err = a.presence(v.Presence); err != nil {
		return nil, a.failed(ctx, err)
	}
	return out, nil
}

// former is what a resource that is not in sync was: as it is applied or, if nobody can say what is applied, as it was last.
// It is nil when that is forgotten, and when there was nothing before.
func (a *API) former(res push.ResourceView) (*formerView, error) {
	if res.Status == push.StatusSynced {
		return nil, nil
	}
	list := a.Push.Former(res.TypeURL, res.Name)
	for i := len(list) - 1; i >= 0; i-- {
		f := list[i]
		if f.Version == res.Desired.Version || res.Applied.Version != "" && res.Applied.Version != f.Version {
			continue
		}
		content, err := f.Shown()
		return &formerView{f.Version, uint64(f.Until), res.Applied.Version != "", content}, err
	}
	return nil, nil
}

func (a *API) presence(list []push.PresenceView) ([]presenceView, error) {
	out := []presenceView{}
	m := a.World.Get()
	for _, p := range list {
		body, err := snapshot.Shown(p.Content)
		if err != nil {
			return nil, err
		}
		view := presenceView{Type: resource.ShortType(p.TypeURL), Name: p.Name, Sent: p.Sent, Content: body}
		if _, text, ok := strings.Cut(p.Name, "/"); ok && p.TypeURL == resource.TargetHealth {
			if id, err := (model.TargetID{}).Parse(text); err == nil && m.Target(id) != nil {
				view.Reason = a.Presence.Verdict(m, m.Target(id)).Reason
			}
		}
		out = append(out, view)
	}
	return out, nil
}

// elsewhere is what the replicas have told each other about a reader; nil when it is connected to none of
// the others.
func (a *API) elsewhere(r reader) *push.Elsewhere {
	e, online := a.Presence.Get(presence.Key{Kind: identity.Kind(r.Kind), ID: r.ID})
	if !online || e.Replica == a.Presence.Replica() {
		return nil
	}
	far := &push.Elsewhere{Applied: e.Applied, Omitted: e.Omitted}
	for _, rej := range e.Rejected {
		far.Rejected = append(far.Rejected, push.Rejected(rej))
	}
	return far
}

func at(v string, rev model.Revision) *versionView {
	if v == "" {
		return nil
	}
	return &versionView{v, uint64(rev)}
}
