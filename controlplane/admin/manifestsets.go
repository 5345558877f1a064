package admin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// ManifestSet is a set of manifests as the last apply left it that changed anything.
type ManifestSet struct {
	Name      string    `json:"name"`
	AppliedAt time.Time `json:"applied_at" doc:"When an apply last changed anything"`
	AppliedBy string    `json:"applied_by"`
	Objects   int       `json:"objects" doc:"That it keeps"`
	Created   int       `json:"created" doc:"By that apply"`
	Changed   int       `json:"changed"`
	Removed   int       `json:"removed"`
}

// ManifestDrift is an object that is no longer as the last apply of its set left it, which the next one changes back.
type ManifestDrift struct {
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	ID    string `json:"id"`
	State string `json:"state" enum:"changed,gone,released" doc:"changed: something else was written of it; gone: it was deleted; released: another set keeps it now"`
}

// maxCompared bounds how many objects of a set are compared with what they were.
const maxCompared = 2000

// ManifestSetState is a set with what has drifted from it.
type ManifestSetState struct {
	ManifestSet
	Drift    []ManifestDrift `json:"drift" doc:"What the next apply changes back, of kinds that the caller may read"`
	Compared int             `json:"compared" doc:"How many objects were looked at, of kinds that the caller may read"`
}

func viewSet(v *model.ManifestSet) ManifestSet {
	return ManifestSet{v.Name, v.Applied.UTC(), v.By, len(v.Objects), v.Created, v.Changed, v.Removed}
}

// ManifestSets lists the sets of an organization by name.
func (a *Admin) ManifestSets(ctx context.Context, p access.Principal, org, after string, limit int) (out []ManifestSet, next string, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := c.enter(org); err != nil {
			return err
		}
		list, err := c.tx.ListManifestSets(c, c.org, store.Page{After: after, Limit: limit + 1})
		if err != nil {
			return err
		}
		out = []ManifestSet{}
		for i, v := range list {
			if i == limit {
				next = list[i-1].Name
				break
			}
			out = append(out, viewSet(v))
		}
		return nil
	})
	return out, next, err
}

// ManifestSet shows a set, and what has been changed elsewhere since it was applied.
func (a *Admin) ManifestSet(ctx context.Context, p access.Principal, org, name string) (out ManifestSetState, err error) {
	kinds := a.manifestKinds()
	err = a.read(ctx, p, func(c *call) error {
		if err := c.enter(org); err != nil {
			return err
		}
		v, err := c.tx.GetManifestSet(c, c.org, name)
		if err != nil {
			return err
		}
		out = ManifestSetState{ManifestSet: viewSet(v), Drift: []ManifestDrift{}}
		ids := slices.SortedFunc(maps.Keys(v.Objects), func(x, y string) int {
			return cmp.Or(cmp.Compare(v.Objects[x].Kind, v.Objects[y].Kind), cmp.Compare(v.Objects[x].Name, v.Objects[y].Name))
		})
		for _, id := range ids {
			o := v.Objects[id]
			k, known := kinds[o.Kind]
			if !known || o.Digest == "" || out.Compared == maxCompared {
				continue
			}
			name, digest, by, err := k.digested(a.call(c, c.tx, p), org, id)
			drift := ManifestDrift{o.Kind, cmp.Or(name, o.Name), id, "changed"}
			switch {
			case fault.Of(err) == fault.Denied:
				continue
			case fault.Of(err) == fault.NotFound:
				drift.State = "gone"
			case err != nil:
				return err
			case by != v.Name:
				drift.State = "released"
			case digest == o.Digest:
				drift.State = ""
			}
			out.Compared++
			if drift.State != "" {
				out.Drift = append(out.Drift, drift)
			}
		}
		return nil
	})
	return out, err
}

// manifestKinds are the kinds that manifests describe and that can be read back.
func (a *Admin) manifestKinds() map[string]Manifests {
	return map[string]Manifests{
		"Organization": a.Organizations, "Region": a.Regions, "Pool": a.Pools, "Node": a.Nodes, "Domain": a.Domains, "Site": a.Sites, "Connector": a.Connectors,
		"Policy": a.Policies, "Service": a.Services, "Target": a.Targets, "Issuer": a.Issuers, "ClusterRole": a.ClusterRoles, "User": a.Users, "Role": a.Roles,
		"Member": a.Members, "IdentityProvider": a.IdentityProviders, "ClusterIdentityProvider": a.ClusterIdentityProviders, "Group": a.Groups,
		"ServiceAccount": a.ServiceAccounts, "Webhook": a.Webhooks, "ClusterWebhook": a.ClusterWebhooks, "AlertRule": a.AlertRules, "ClusterAlertRule": a.ClusterAlertRules,
	}
}

// digested is an object's name now, a digest of what is written of it, and the set that keeps it.
func (k *Collection[M, S, V]) digested(c *call, org, ref string) (name, digest, by string, err error) {
	if err := k.begin(c, k.read, org); err != nil {
		return "", "", "", err
	}
	m, err := k.byRef(c, ref)
	if err != nil {
		return "", "", "", err
	}
	v, err := k.views(c, []*M{m})
	if err != nil {
		return "", "", "", err
	}
	_, name = named(any(m))
	if of, ok := any(v[0]).(kept); ok {
		by = of.keeper()
	}
	return name, k.digest(v[0]), by, nil
}

// digest is the same for an object of which the same is written, whatever it says of itself; "": it can't be told.
func (k *Collection[M, S, V]) digest(v V) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	var s S
	var own struct {
		Labels model.Labels `json:"labels"`
		Pinned []string     `json:"pinned"`
	}
	if json.Unmarshal(b, &s) != nil || json.Unmarshal(b, &own) != nil {
		return ""
	}
	if n, ok := any(&s).(*NodeSpec); ok {
		n.forget(own.Pinned)
	}
	if b, err = json.Marshal([]any{s, own.Labels}); err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// forget leaves out what a node says itself.
func (s *NodeSpec) forget(pinned []string) {
	for field, clear := range map[string]func(){
		model.PinAddresses: func() { s.Addresses = nil }, model.PinWireGuard: func() { s.WireGuardEndpoint = "" },
		model.PinStream: func() { s.StreamEndpoint = "" }, model.PinGossip: func() { s.GossipEndpoint = "" },
	} {
		if !slices.Contains(pinned, field) {
			clear()
		}
	}
}

// applied notes what an apply of a set left, if it left anything else than there was: who applies the same again writes nothing.
func (c *call) applied(prune Pruning, wanted []Wanted, done, gone []Outcome) error {
	set := prune.Set
	if set == "" {
		return nil // written by hand
	}
	v := &model.ManifestSet{Org: c.org, Name: set, Applied: time.Now(), By: c.p.Name, Removed: len(gone), Objects: map[string]model.ManifestObject{}}
	old, err := c.tx.GetManifestSet(c, c.org, set)
	switch {
	case err == nil && len(prune.Kinds) == 0: // what the files lack stays
		maps.Copy(v.Objects, old.Objects)
	case err == nil:
	case fault.Of(err) != fault.NotFound:
		return err
	}
	for i, o := range done {
		maps.DeleteFunc(v.Objects, func(_ string, was model.ManifestObject) bool {
			return o.Created && was.Kind == wanted[i].Kind && was.Name == o.Name
		}) // made anew
		switch {
		case o.Created:
			v.Created++
		case o.Changed:
			v.Changed++
		}
		if _, can := o.After.(kept); !can || o.keeper != set {
			continue // another set keeps it, or none can
		}
		v.Objects[o.ID] = model.ManifestObject{Kind: wanted[i].Kind, Name: o.Name, Digest: o.digest}
	}
	for _, o := range gone {
		delete(v.Objects, o.ID)
	}
	if old != nil && maps.Equal(old.Objects, v.Objects) && v.Created+v.Changed+v.Removed == 0 || old == nil && len(v.Objects) == 0 {
		return nil
	}
	if len(v.Objects) == 0 {
		return c.tx.DeleteManifestSet(c, c.org, set)
	}
	return c.tx.PutManifestSet(c, v)
}
