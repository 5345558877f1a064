package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

type applyInput struct {
	OrgPath
	WriteQuery
	Body struct {
		Set       string     `json:"set,omitempty" maxLength:"63" pattern:"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" doc:"Name of the set of manifests that keeps the objects from now on; if absent, \"default\" keeps those that no set keeps"`
		Lifetime  string     `json:"lifetime,omitempty" maxLength:"20" example:"1m" doc:"Of a new set, or one that has such: a duration of 10s to 24h after which all that it keeps is removed, unless it is applied again or renewed by the same caller. Of sites, connectors, policies, services and targets that are not there yet"`
		Prune     bool       `json:"prune,omitempty" doc:"Remove what the set kept and no document describes any more: objects of the organization, and those that belong to none"`
		Documents []Manifest `json:"documents" maxItems:"10000"`
	}
}

// defaultSet keeps what is applied without a word about a set.
const defaultSet = "default"

// Applied is what became of an apply.
type Applied struct {
	Objects  []AppliedObject `json:"objects" doc:"In the order of the documents"`
	Removed  []AppliedObject `json:"removed" doc:"In the order in which they were removed"`
	Readers  []AppliedReader `json:"readers,omitempty" doc:"Of a dry run: which nodes and connectors would receive something. Absent where this replica does not know"`
	Problems []string        `json:"problems,omitempty" doc:"Of a dry run: what nodes would not be given, and why"`
}

// AppliedObject is an object that was written, found as it should be, or removed.
type AppliedObject struct {
	Kind         string    `json:"kind"`
	Name         string    `json:"name"`
	Organization string    `json:"organization,omitempty"`
	ID           string    `json:"id"`
	Created      bool      `json:"created"`
	Changed      bool      `json:"changed"`
	Secret       string    `json:"secret,omitempty" doc:"That was made with the object; shown once"`
	Before       *Manifest `json:"before,omitempty" doc:"Of what changed: as it was, without secrets; absent: it was not there"`
	After        *Manifest `json:"after,omitempty" doc:"Of what changed: as it is, without secrets; absent: it is gone"`
}

// AppliedReader is what a node or connector would receive.
type AppliedReader struct {
	Kind    string   `json:"kind" enum:"node,connector"`
	Name    string   `json:"name"`
	All     bool     `json:"all,omitempty" doc:"It comes to stand somewhere else and receives all there is of it"`
	Upserts []string `json:"upserts,omitempty" doc:"Resources, as type/name, in the order in which they are applied"`
	Removed []string `json:"removed,omitempty"`
}

func (a *API) applyManifests(ctx context.Context, in *applyInput) (*answer[Applied], error) {
	wanted, order, err := a.wanted(in)
	if err != nil {
		return nil, a.notApplied(ctx, err)
	}
	prune := admin.Pruning{Set: set(in), Org: in.Org}
	if prune.Lifetime, err = lifetime(in); err != nil {
		return nil, err
	}
	if in.Body.Prune {
		for _, d := range slices.Backward(a.kinds) {
			if d.objects != nil {
				prune.Kinds, prune.Names = append(prune.Kinds, d.objects), append(prune.Names, d.name)
			}
		}
	}
	var rehearsal admin.Rehearsal
	call := ctx
	if in.DryRun {
		call = admin.Rehearse(ctx, &rehearsal)
	}
	done, gone, rev, err := a.Admin.ApplyWanted(call, caller(ctx), wanted, prune)
	if err != nil {
		if we, ok := errors.AsType[*admin.WantedError](err); ok {
			we.Index = order[we.Index]
		}
		return nil, a.notApplied(ctx, err)
	}
	out, err := a.outcomes(wanted, order, done, gone)
	if err != nil {
		return nil, a.failed(ctx, err)
	}
	ans := &answer[Applied]{Status: http.StatusOK, DryRun: in.said(), Body: out}
	changed := func(o AppliedObject) bool { return o.Changed }
	if !slices.ContainsFunc(out.Objects, changed) && len(out.Removed) == 0 {
		ans.Unchanged = "true"
	}
	if in.DryRun {
		a.preview(&ans.Body, caller(ctx), rehearsal.Batch)
		return ans, nil
	}
	return ans, a.holds(ctx, ans, rev)
}

// lifetime is how long a set lives without being renewed; 0: for good.
func lifetime(in *applyInput) (time.Duration, error) {
	if in.Body.Lifetime == "" {
		return 0, nil
	}
	wrong := func(where, what string) error {
		return huma.Error422UnprocessableEntity(what, &huma.ErrorDetail{Message: what, Location: "body." + where, Value: in.Body.Lifetime})
	}
	d, err := time.ParseDuration(in.Body.Lifetime)
	switch {
	case err != nil:
		return 0, wrong("lifetime", "want a duration such as 1m")
	case d == 0:
		return 0, wrong("lifetime", "want 10s or more")
	case in.Body.Set == "":
		return 0, wrong("set", "missing: a lifetime is that of a set of its own")
	case len(in.Body.Documents) == 0:
		return 0, wrong("documents", "missing: a set with a lifetime keeps something")
	}
	return d, nil
}

func set(in *applyInput) string {
	if in.Body.Set == "" {
		return defaultSet
	}
	return in.Body.Set
}

// invalid is all that is wrong with documents by themselves.
type invalid []*huma.ErrorDetail

func (invalid) Error() string { return "the documents can't be applied" }

// wanted reads the documents, in apply order; order says where each stands in the call.
func (a *API) wanted(in *applyInput) (out []admin.Wanted, order []int, err error) {
	type entry struct {
		at, rank int
		want     admin.Wanted
	}
	var entries []entry
	var bad invalid
	seen := map[[3]string]bool{}
	for i, doc := range in.Body.Documents {
		at := "body.documents[" + strconv.Itoa(i) + "]"
		want, rank, wrong := a.want(in, doc, at)
		if wrong != nil {
			bad = append(bad, wrong...)
			continue
		}
		id := [3]string{want.Kind, want.Org, want.Name}
		if seen[id] {
			bad = append(bad, &huma.ErrorDetail{Message: "the object is described twice", Location: at + ".metadata.name", Value: want.Name})
		}
		seen[id] = true
		entries = append(entries, entry{i, rank, want})
	}
	if len(bad) > 0 {
		return nil, nil, bad
	}
	slices.SortStableFunc(entries, func(x, y entry) int { return x.rank - y.rank })
	for _, e := range entries {
		out, order = append(out, e.want), append(order, e.at)
	}
	return out, order, nil
}

// want reads one document.
func (a *API) want(in *applyInput, doc Manifest, at string) (w admin.Wanted, rank int, bad invalid) {
	rank = slices.IndexFunc(a.kinds, func(d *described) bool { return d.name == doc.Kind })
	if rank < 0 {
		return w, 0, invalid{{Message: "want " + a.kindNames(), Location: at + ".kind", Value: doc.Kind}}
	}
	d := a.kinds[rank]
	org := ""
	switch {
	case d.inOrg && doc.Metadata.Organization != "":
		org = doc.Metadata.Organization
	case d.inOrg:
		org = in.Org
	case doc.Metadata.Organization != "":
		return w, 0, invalid{{Message: "objects of this kind belong to no organization", Location: at + ".metadata.organization", Value: doc.Metadata.Organization}}
	}
	if doc.Metadata.Name == "" {
		return w, 0, invalid{{Message: "missing", Location: at + ".metadata.name"}}
	}
	raw, bad := d.check(a, doc, at)
	if len(bad) > 0 {
		return w, 0, bad
	}
	labels := doc.Metadata.Labels
	if labels == nil {
		labels = model.Labels{}
	}
	w, err := d.want(org, doc.Metadata.Name, raw, admin.Write{Labels: &labels, Set: set(in), Adopt: in.Body.Set == ""})
	if err != nil {
		return w, 0, invalid{{Message: err.Error(), Location: at + ".spec"}}
	}
	return w, rank, nil
}

// check judges a spec by the description of the API, and returns it as JSON.
func (d *described) check(a *API, doc Manifest, at string) ([]byte, invalid) {
	spec := doc.Spec
	if spec == nil {
		spec = map[string]any{}
	}
	for _, own := range []string{"name", "labels"} {
		if _, there := spec[own]; there {
			return nil, invalid{{Message: "stands in metadata", Location: at + ".spec." + own}}
		}
	}
	path := huma.NewPathBuffer(make([]byte, 0, 128), 0)
	path.Push(at)
	path.Push("spec")
	res := &huma.ValidateResult{}
	huma.Validate(a.huma.OpenAPI().Components.Schemas, d.schema, path, huma.ModeWriteToServer, spec, res)
	var bad invalid
	for _, err := range res.Errors {
		detail := &huma.ErrorDetail{Message: err.Error(), Location: at + ".spec"}
		if known, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			detail = known
		}
		bad = append(bad, detail)
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		bad = append(bad, &huma.ErrorDetail{Message: err.Error(), Location: at + ".spec"})
	}
	return raw, bad
}

// notApplied says what is wrong with which document.
func (a *API) notApplied(ctx context.Context, err error) error {
	if bad, ok := errors.AsType[invalid](err); ok {
		p := &problem{ErrorModel: huma.ErrorModel{Status: http.StatusUnprocessableEntity, Title: http.StatusText(http.StatusUnprocessableEntity), Detail: bad.Error(), Errors: bad}}
		p.RequestID, _ = ctx.Value(requestKey{}).(string)
		return p
	}
	answer := a.failed(ctx, err)
	we, ok := errors.AsType[*admin.WantedError](err)
	p, plain := answer.(*problem) //nolint:errorlint // of our own making
	if !ok || !plain {
		return answer
	}
	at := "body.documents[" + strconv.Itoa(we.Index) + "]"
	fe, _ := errors.AsType[*fault.Error](err)
	switch {
	case fe == nil || fe.Field == "":
		p.Errors = []*huma.ErrorDetail{{Message: p.Detail, Location: at}}
	case fe.Field == "name", strings.HasPrefix(fe.Field, "labels"):
		p.Errors[0].Location = at + ".metadata." + fe.Field
	default:
		p.Errors[0].Location = at + ".spec." + fe.Field
	}
	p.Detail = "the documents can't be applied"
	return p
}

// outcomes puts what became of the documents into their order.
func (a *API) outcomes(wanted []admin.Wanted, order []int, done, gone []admin.Outcome) (Applied, error) {
	out := Applied{Objects: make([]AppliedObject, len(done)), Removed: []AppliedObject{}}
	var wrong error
	show := func(d *described, o admin.Outcome) AppliedObject {
		v := AppliedObject{Kind: d.name, Name: o.Name, Organization: o.Org, ID: o.ID, Created: o.Created, Changed: o.Changed}
		if w, ok := o.After.(admin.Webhook); ok {
			v.Secret = w.Secret
		}
		if !o.Changed {
			return v
		}
		for _, side := range []struct {
			view any
			into **Manifest
		}{{o.Before, &v.Before}, {o.After, &v.After}} {
			if side.view != nil {
				m, err := d.describe(o.Name, side.view)
				wrong, *side.into = errors.Join(wrong, err), &m
			}
		}
		return v
	}
	for i, o := range done {
		out.Objects[order[i]] = show(a.describedBy(wanted[i].Kind), o)
	}
	for _, o := range gone {
		p := o.Before.(admin.Pruned)
		o.Before = p.View
		out.Removed = append(out.Removed, show(a.describedBy(p.Kind), o))
	}
	return out, wrong
}

func typeOf(v any) reflect.Type { return reflect.TypeOf(v) }
