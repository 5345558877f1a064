package apply

import (
	"errors"
	"slices"
	"strings"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/dns"
	"github.com/warrenedge/warren/dataplane/l4"
	"github.com/warrenedge/warren/dataplane/tunnel"
	"github.com/warrenedge/warren/shared/resource"
)

// refused is a rejection for each resource that can be read by itself and of which a subsystem still had to
// leave something out: err is what the subsystems said. Everything else of such a resource is in use.
func (l *ledger) refused(err error) []*nodev1.Rejection {
	if err == nil {
		return nil
	}
	why, objects := map[ref][]string{}, l.objects()
	for _, e := range leaves(err) {
		if r, ok := cause(objects, e); ok {
			why[r] = append(why[r], e.Error())
		}
	}
	var out []*nodev1.Rejection
	for r, reasons := range why {
		if l.rejected[r] != nil { // the newest version has a reason of its own: this is about the one in use
			continue
		}
		slices.Sort(reasons)
		out = append(out, &nodev1.Rejection{
			TypeUrl: r.typ, Name: r.name, Version: l.good[r.typ][r.name].raw.Version, Reason: strings.Join(slices.Compact(reasons), "; "),
		})
	}
	return out
}

// leaves are the errors that are joined in err.
func leaves(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, leaves(e)...)
	}
	return out
}

// object is what a subsystem's error is about, in the subsystem's words.
type object struct{ typ, id, owner string }

// objects gives the resource behind each object. Of several it is the last by name: subsystems are told of
// resources in this order, and where two exclude each other they keep the first.
func (l *ledger) objects() map[object]ref {
	all := map[object]ref{}
	for typ, items := range l.good {
		for name, it := range items {
			for _, o := range objectsOf(typ, it.value) {
				if have, ok := all[o]; !ok || name > have.name {
					all[o] = ref{typ, name}
				}
			}
		}
	}
	return all
}

func objectsOf(typ string, value any) []object {
	var out []object
	switch v := value.(type) {
	case node:
		out = append(out, object{typ: typ, id: v.id})
	case site:
		for _, c := range v.connectors {
			out = append(out, object{typ: typ, id: c.id})
		}
		if v.peer != nil {
			out = append(out, object{typ: typ, id: v.peer.id})
		}
		for id := range v.targets {
			out = append(out, object{typ: typ, id: id})
		}
	case connectorConfig:
		for _, n := range v.nodes {
			out = append(out, object{typ: typ, id: n.id})
		}
		for id := range v.targets {
			out = append(out, object{typ: typ, id: id})
		}
	case forward:
		out = append(out, object{typ: typ, id: v.Service})
	case zone:
		out = append(out, object{typ: typ, id: v.id})
	case asked:
		out = append(out, object{typ: typ, id: v.id})
	case recordSet:
		out = append(out, object{typ: typ, id: v.zone, owner: v.owner})
	}
	return out
}

// cause finds the resource that a subsystem's error is about.
func cause(objects map[object]ref, err error) (ref, bool) {
	var may []object
	if e, ok := errors.AsType[*tunnel.PeerError](err); ok {
		may = []object{{typ: resource.Node, id: e.ID}, {typ: resource.Site, id: e.ID}, {typ: resource.ConnectorConfig, id: e.ID}}
	} else if e, ok := errors.AsType[*connector.TargetError](err); ok {
		may = []object{{typ: resource.ConnectorConfig, id: e.ID}, {typ: resource.Site, id: e.ID}}
	} else if e, ok := errors.AsType[*l4.ForwardError](err); ok {
		may = []object{{typ: resource.Forward, id: e.Service}}
	} else if e, ok := errors.AsType[*dns.ObjectError](err); ok {
		switch {
		case e.Owner != "":
			may = []object{{typ: resource.RecordSet, id: e.Zone, owner: e.Owner}}
		case e.Challenge != "":
			may = []object{{typ: resource.Challenge, id: e.Challenge}}
		case e.Node != "":
			may = []object{{typ: resource.Node, id: e.Node}}
		default:
			may = []object{{typ: resource.Zone, id: e.Zone}}
		}
	}
	for _, o := range may {
		if r, ok := objects[o]; ok {
			return r, true
		}
	}
	return ref{}, false
}
