package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// ManifestVersion is what documents of manifests start with.
const ManifestVersion = "warren/v1"

// Bounds of an apply.
const (
	maxManifests = 16 << 20 // bytes of the body
	maxDocuments = 10_000
	manifestPath = "/api/v1/orgs/{org}/manifests"
	applySuffix  = "/manifests/apply"
)

// applyOrder has what others refer to first.
var applyOrder = []string{
	"Organization", "Region", "Pool", "Node", "Domain", "Site", "Connector", "Policy", "Service", "Target", "Issuer", "ClusterRole", "User", "Role",
	"Member", "IdentityProvider", "ClusterIdentityProvider", "Group", "ServiceAccount", "Webhook", "ClusterWebhook", "AlertRule", "ClusterAlertRule", "APIKey",
}

// Manifest describes one object, as a YAML document does.
type Manifest struct {
	APIVersion string         `json:"apiVersion,omitempty" enum:"warren/v1"`
	Kind       string         `json:"kind" example:"Service"`
	Metadata   ManifestMeta   `json:"metadata"`
	Spec       map[string]any `json:"spec,omitempty" doc:"The fields of the kind's body but name and labels"`
}

// ManifestMeta is what every object has.
type ManifestMeta struct {
	Name         string       `json:"name"`
	Organization string       `json:"organization,omitempty" doc:"By name or id; that of the path if absent. Not of kinds that belong to no organization"`
	Labels       model.Labels `json:"labels,omitempty" doc:"All of them: others are taken away"`
}

// described is a kind whose objects manifests describe.
type described struct {
	name, plural string
	inOrg        bool
	objects      admin.Manifests // nil: they are not exported
	schema       *huma.Schema    // of the body
	fields       map[string]bool // of spec
	want         func(org, name string, raw []byte, w admin.Write) (admin.Wanted, error)
}

// describedKind makes a kind of a collection and the body that writes its objects.
func describedKind[M, S, V any, B body[S]](a *API, k *admin.Collection[M, S, V], one, many string, inOrg bool, _ B) *described {
	d := &described{name: kindName(one), plural: many, inOrg: inOrg, objects: k}
	d.schema = schemaOf[B](a)
	d.want = func(org, name string, raw []byte, w admin.Write) (admin.Wanted, error) {
		var b B
		if err := json.Unmarshal(raw, &b); err != nil {
			return admin.Wanted{}, fault.New(fault.Invalid, "%v", err)
		}
		return k.Want(d.name, org, name, b.spec(), w), nil
	}
	return d
}

func schemaOf[B any](a *API) *huma.Schema {
	var b B
	s := huma.SchemaFromType(a.huma.OpenAPI().Components.Schemas, typeOf(b))
	for s.Ref != "" {
		s = a.huma.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

// kindName is the kind's name in YAML: "cluster-webhook" is a ClusterWebhook.
func kindName(one string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(one, "-") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// manifest adds a kind.
func (a *API) manifest(d *described) {
	d.fields = map[string]bool{}
	for name := range d.schema.Properties {
		d.fields[name] = name != "name" && name != "labels"
	}
	a.kinds = append(a.kinds, d)
}

func (a *API) describedBy(name string) *described {
	if i := slices.IndexFunc(a.kinds, func(d *described) bool { return d.name == name }); i >= 0 {
		return a.kinds[i]
	}
	return nil
}

// manifests are objects as files describe them: many in one transaction.
func (a *API) manifests() {
	k := a.Admin
	keys := &described{name: "APIKey", plural: "api-keys", schema: schemaOf[apiKeyChangeBody](a)}
	keys.want = func(_, name string, raw []byte, _ admin.Write) (admin.Wanted, error) {
		var b apiKeyChangeBody
		if err := json.Unmarshal(raw, &b); err != nil {
			return admin.Wanted{}, fault.New(fault.Invalid, "%v", err)
		}
		return k.WantAPIKey("APIKey", name, b.APIKeyChange), nil
	}
	a.manifest(keys)
	slices.SortFunc(a.kinds, func(x, y *described) int {
		return slices.Index(applyOrder, x.name) - slices.Index(applyOrder, y.name)
	})
	huma.Register(a.huma, operation(http.MethodGet, manifestPath, "export-manifests", "Show objects as manifests that make them again; secrets are left out, and stay where such a manifest is applied",
		"manifests", access.MeRead, 200), a.exportManifests)
	apply := operation(http.MethodPost, "/api/v1/orgs/{org}"+applySuffix, "apply-manifests",
		"Make objects be as manifests say, all of them or none; each needs the permission to write it", "manifests", access.MeRead, 200)
	apply.MaxBodyBytes = maxManifests
	huma.Register(a.huma, apply, a.applyManifests)
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/manifest-sets", "list-manifest-sets", "List sets of manifests by what the last apply of each that changed anything did", "manifests", access.MeRead, 200),
		func(ctx context.Context, in *struct {
			OrgPath
			PageQuery
		}) (*answer[page[admin.ManifestSet]], error) {
			scope := "manifest-sets/" + in.Org
			after, err := a.openMark(scope, in.Token)
			if err != nil {
				return nil, err
			}
			items, next, err := a.Admin.ManifestSets(ctx, caller(ctx), in.Org, after, in.Size)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[page[admin.ManifestSet]]{Status: http.StatusOK, Body: page[admin.ManifestSet]{items, a.sealMark(scope, next)}}, nil
		})
	huma.Register(a.huma, operation(http.MethodGet, "/api/v1/orgs/{org}/manifest-sets/{name}", "get-manifest-set",
		"Show a set of manifests, with what was changed elsewhere since it was applied", "manifests", access.MeRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[admin.ManifestSetState], error) {
			v, err := a.Admin.ManifestSet(ctx, caller(ctx), in.Org, in.Name)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[admin.ManifestSetState]{Status: http.StatusOK, Body: v}, nil
		})
	huma.Register(a.huma, operation(http.MethodPost, "/api/v1/orgs/{org}/manifest-sets/{name}/renew", "renew-manifest-set",
		"Let a set of manifests with a lifetime live on; only who has applied it may", "manifests", access.MeRead, 200),
		func(ctx context.Context, in *oneOrgInput) (*answer[admin.PassingSet], error) {
			v, err := a.Admin.RenewSet(ctx, caller(ctx), in.Org, in.Name)
			if err != nil {
				return nil, a.failed(ctx, err)
			}
			return &answer[admin.PassingSet]{Status: http.StatusOK, Body: v}, nil
		})
}

type exportInput struct {
	OrgPath
	Kind  []string `query:"kind,explode" maxItems:"64" doc:"Kinds as in manifests; all that the caller may read if absent"`
	Name  string   `query:"name" maxLength:"255" doc:"Only the object of this name; of several kinds, of each"`
	Label []string `query:"label,explode" maxItems:"16" doc:"Only objects with this label, as key=value; of several all"`
}

func (a *API) exportManifests(ctx context.Context, in *exportInput) (*answer[page[Manifest]], error) {
	with, err := selector(in.Label)
	if err != nil {
		return nil, err
	}
	var chosen []*described
	for _, d := range a.kinds {
		if d.objects != nil && (len(in.Kind) == 0 || slices.Contains(in.Kind, d.name)) {
			chosen = append(chosen, d)
		}
	}
	for _, name := range in.Kind {
		if d := a.describedBy(name); d == nil || d.objects == nil {
			return nil, huma.Error422UnprocessableEntity("kind", &huma.ErrorDetail{Message: "want " + a.kindNames(), Location: "query.kind", Value: name})
		}
	}
	objects := make([]admin.Manifests, len(chosen))
	for i, d := range chosen {
		objects[i] = d.objects
	}
	out := page[Manifest]{Items: []Manifest{}}
	var wrong error
	err = a.Admin.Export(ctx, caller(ctx), in.Org, objects, len(in.Kind) > 0, with, func(kind int, name string, v any) {
		if unwritten(v) || in.Name != "" && in.Name != name {
			return
		}
		m, err := chosen[kind].describe(name, v)
		wrong = errors.Join(wrong, err)
		out.Items = append(out.Items, m)
	})
	if err = errors.Join(err, wrong); err != nil {
		return nil, a.failed(ctx, err)
	}
	return &answer[page[Manifest]]{Status: http.StatusOK, Body: out}, nil
}

func (a *API) kindNames() string {
	var names []string
	for _, d := range a.kinds {
		names = append(names, d.name)
	}
	return strings.Join(names, ", ")
}

// unwritten reports whether an object is the program's own, which nobody writes.
func unwritten(v any) bool {
	switch v := v.(type) {
	case admin.Role:
		return v.Builtin
	case admin.Issuer:
		return v.DirectoryURL == ""
	}
	return false
}

// pins are the fields of a node that it says itself where nobody writes them.
var pins = []string{model.PinAddresses, model.PinWireGuard, model.PinStream, model.PinGossip}

// describe makes a manifest of what is shown of an object: of it, what can be written.
func (d *described) describe(name string, v any) (Manifest, error) {
	m := Manifest{APIVersion: ManifestVersion, Kind: d.name, Metadata: ManifestMeta{Name: name}, Spec: map[string]any{}}
	b, err := json.Marshal(v)
	if err != nil {
		return m, fmt.Errorf("%s %s: %w", d.name, name, err)
	}
	var all struct {
		Organization string       `json:"organization"`
		Labels       model.Labels `json:"labels"`
		Pinned       []string     `json:"pinned"`
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := errors.Join(json.Unmarshal(b, &all), dec.Decode(&m.Spec)); err != nil {
		return m, fmt.Errorf("%s %s: %w", d.name, name, err)
	}
	if m.Metadata.Labels = all.Labels; d.inOrg {
		m.Metadata.Organization = all.Organization
	}
	for field, value := range m.Spec {
		// What a node says of itself, it says again.
		spoken := d.name == "Node" && slices.Contains(pins, field) && !slices.Contains(all.Pinned, field)
		if list, ok := value.([]any); !d.fields[field] || spoken || value == nil || ok && len(list) == 0 {
			delete(m.Spec, field)
		}
	}
	return m, nil
}

// Schemas says what specs may hold, for who checks files without a server.
type Schemas struct {
	Kinds []KindSchema            `yaml:"kinds"`
	Parts map[string]*huma.Schema `yaml:"parts"` // that schemas of kinds refer to
}

// KindSchema is what the spec of a kind may hold.
type KindSchema struct {
	Name         string       `yaml:"name"`
	Organization bool         `yaml:"organization"` // its objects belong to one
	Schema       *huma.Schema `yaml:"schema"`
}

// DescribeManifests is Schemas as YAML.
func DescribeManifests() ([]byte, error) {
	a := New(Options{Reg: prometheus.NewRegistry()})
	all := a.huma.OpenAPI().Components.Schemas.Map()
	out := Schemas{Parts: map[string]*huma.Schema{}}
	var follow func(s *huma.Schema)
	follow = func(s *huma.Schema) {
		if s == nil {
			return
		}
		if name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]; name != "" && out.Parts[name] == nil {
			out.Parts[name] = all[name]
			follow(all[name])
		}
		follow(s.Items)
		if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
			follow(more)
		}
		for _, p := range s.Properties {
			follow(p)
		}
	}
	for _, d := range a.kinds {
		out.Kinds = append(out.Kinds, KindSchema{d.name, d.inOrg, d.schema})
		follow(d.schema)
	}
	return yaml.MarshalWithOptions(out, yaml.CustomMarshaler(plainNumber))
}

// plainNumber writes a bound of a schema as people do: 1000000, not 1e+06.
func plainNumber(f float64) ([]byte, error) { return strconv.AppendFloat(nil, f, 'f', -1, 64), nil }
