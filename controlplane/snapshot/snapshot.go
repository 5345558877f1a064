// Package snapshot compiles the model into xDS resources, each with the scopes whose readers hold it. It
// is pure: the same rows give the same bytes in every process at any time.
//
// A resource is compiled once and belongs to scopes; a reader holds the union of its scopes. What a
// change costs depends on the resources that it touches, not on how many others there are.
package snapshot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// Epoch is part of every version. It is raised knowingly when the same content gets other bytes, which a
// new release of the protobuf library can cause: golden bytes in the tests notice.
const Epoch uint32 = 2

// Resource is one compiled xDS resource. It is shared by all streams and never modified.
type Resource struct {
	TypeURL string
	Name    string
	Version string         // of the content; scopes are no part of it
	Any     *anypb.Any     // deterministic bytes
	Scopes  []string       // sorted, at least one; no reader has two of them
	Cause   model.Revision // that made this content or these scopes; of a full build, the model's
}

// Ref is the resource's type and name.
func (r *Resource) Ref() Ref { return Ref{r.TypeURL, r.Name} }

// Ref names a resource.
type Ref struct{ TypeURL, Name string }

// Compare orders refs by the apply order of their types, then by name.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(cmp.Compare(order[r.TypeURL], order[o.TypeURL]), cmp.Compare(r.Name, o.Name))
}

// Problem is why a resource that should exist does not.
type Problem struct {
	Ref Ref
	Err error
}

// Changes is what a step of the configuration does to the resources.
type Changes struct {
	Revision    model.Revision
	CommittedAt time.Time
	Full        bool // Upserts is everything there is: what is not in it is gone

	// Upserts are the resources whose version or scopes are others than before, ordered by Ref: what a
	// batch touches without changing it is not here. A resource of which the scopes alone changed keeps
	// its version.
	Upserts []*Resource
	Removed []Ref // ordered by Ref, types reversed; each existed before
	// Problems are the touched resources that cannot be built, ordered by Ref. One that could be before
	// is in Removed too: what readers hold must not depend on which replica saw better days.
	Problems []Problem
	Solved   []Ref // that had a problem before and have none now, ordered by Ref

	Built int // resources that were compiled to find this out
}

// Compiler turns models into resources. It keeps no state: safe for concurrent use.
type Compiler struct {
	open func(sealed []byte, aad string) ([]byte, error)
}

// New makes a Compiler. open unseals a private key; aad is the text form of the certificate's id.
func New(open func(sealed []byte, aad string) ([]byte, error)) *Compiler {
	return &Compiler{open: open}
}

// Build compiles what a batch changed between prev and next = prev.Apply(b). With prev nil it compiles
// everything.
//
// A resource that a batch touches is compiled from both models and left out if both give the same: the
// answer needs no memory of what was sent, and does not depend on how changes were cut into batches. A
// reload is compared with prev in the same way, so that a replica that fell behind sends what differs.
func (c *Compiler) Build(prev, next *model.Model, b model.Batch) Changes {
	ch := Changes{Revision: next.Revision(), CommittedAt: next.CommittedAt(), Full: prev == nil}
	var touched map[key]bool
	switch {
	case prev == nil:
		prev, touched = model.Empty(), all(next)
	case b.Reload:
		touched = all(next)
		maps.Copy(touched, all(prev))
	default:
		touched = affected(prev, next, b)
	}
	for k := range touched {
		ch.add(c.build(prev, k), c.build(next, k))
	}
	ch.Built = len(touched)
	slices.SortFunc(ch.Upserts, func(a, b *Resource) int { return a.Ref().Compare(b.Ref()) })
	slices.SortFunc(ch.Removed, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(order[b.TypeURL], order[a.TypeURL]), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(ch.Problems, func(a, b Problem) int { return a.Ref.Compare(b.Ref) })
	slices.SortFunc(ch.Solved, Ref.Compare)
	return ch
}

// draft is a resource before it is marshalled, or the reason why it cannot be.
type draft struct {
	name   string
	scopes []string
	msg    proto.Message
	err    error
}

// A builder compiles the resource of one row; nil if the row is not there or calls for none.
type builder func(*Compiler, *model.Model, uuid.UUID) *draft

var builders = map[string]builder{
	resource.NodeConfig:      nodeConfig,
	resource.Trust:           trust,
	resource.Certificate:     certificate,
	resource.Node:            node,
	resource.Site:            site,
	resource.Policy:          policyResource,
	resource.Brand:           brandResource,
	resource.Quota:           quotaResource,
	resource.Route:           route,
	resource.Forward:         forward,
	resource.Zone:            zone,
	resource.RecordSet:       recordSet,
	resource.Challenge:       challenge,
	resource.Revocation:      revocation,
	resource.ConnectorConfig: connectorConfig,
}

// order is the place of each type in apply order.
var order = func() map[string]int {
	order := map[string]int{}
	for i, t := range slices.Concat(resource.NodeTypes(), resource.ConnectorTypes()) {
		if _, ok := order[t]; !ok {
			order[t] = i
		}
	}
	return order
}()

// result is what one key comes to at one revision: a resource, a problem, or neither.
type result struct {
	resource *Resource
	problem  *Problem
}

func (c *Compiler) build(m *model.Model, k key) result {
	d := builders[k.typeURL](c, m, k.id)
	if d == nil {
		return result{}
	}
	var bytes []byte
	if d.err == nil {
		var err error
		if bytes, err = (proto.MarshalOptions{Deterministic: true}).Marshal(d.msg); err != nil {
			d.err = fmt.Errorf("marshal: %w", err)
		}
	}
	if d.err != nil {
		return result{problem: &Problem{Ref{k.typeURL, d.name}, d.err}}
	}
	return result{resource: &Resource{
		TypeURL: k.typeURL,
		Name:    d.name,
		Version: resource.Version(k.typeURL, Epoch, bytes),
		Any:     &anypb.Any{TypeUrl: k.typeURL, Value: bytes},
		Scopes:  d.scopes,
		Cause:   m.Revision(),
	}}
}

// add notes the difference between what a key was and what it is.
func (ch *Changes) add(was, is result) {
	if r := was.resource; r != nil && (is.resource == nil || is.resource.Name != r.Name) {
		ch.Removed = append(ch.Removed, r.Ref())
	}
	if p := was.problem; p != nil && (is.problem == nil || is.problem.Ref != p.Ref) {
		ch.Solved = append(ch.Solved, p.Ref)
	}
	if is.problem != nil {
		ch.Problems = append(ch.Problems, *is.problem)
	}
	if r, o := is.resource, was.resource; r != nil && (o == nil || !o.same(r)) {
		ch.Upserts = append(ch.Upserts, r)
	}
}

func (r *Resource) same(o *Resource) bool {
	return r.Name == o.Name && r.Version == o.Version && slices.Equal(r.Scopes, o.Scopes)
}
