package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/yamltext"
)

// referring is where objects of a kind are named by others: the kind of those, and their field.
var referring = map[string][]struct{ kind, field string }{
	"Pool":           {{"Node", "pool"}, {"Domain", "pool"}, {"Site", "pool"}, {"Service", "pool"}},
	"Region":         {{"Node", "region"}, {"Site", "region"}},
	"Node":           {{"Site", "nodes"}},
	"Site":           {{"Connector", "site"}, {"Target", "site"}},
	"Service":        {{"Target", "service"}},
	"Policy":         {{"Service", "policy"}},
	"Issuer":         {{"ManagedCertificate", "issuer"}},
	"Role":           {{"Member", "roles"}, {"ServiceAccount", "roles"}},
	"ClusterRole":    {{"User", "cluster_role"}},
	"ServiceAccount": {{"APIKey", "service_account"}},
	"Member":         {{"Group", "users"}},
}

func (a *app) describeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "describe KIND NAME", Short: "Show an object with all that has to do with it", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeObjects,
		Long:    "Show an object, what refers to it, the certificates of what it publishes, and what was done to it last, as far as you may see that.",
		Example: "  warren describe service wiki\n  warren describe site office -o yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := findKind(args[0])
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			d, err := s.describe(cmd.Context(), k, args[1])
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(d)
			}
			return a.printDescription(k, d)
		},
	}
}

// description is an object with its surroundings.
type description struct {
	Object       json.RawMessage              `json:"object"`
	Referring    map[string][]json.RawMessage `json:"referring,omitempty"`
	Certificates []json.RawMessage            `json:"certificates,omitempty"`
	Done         []typed.Entry                `json:"done,omitempty"`
}

// lastDeeds is how many of them are shown.
const lastDeeds = 5

func (s *session) describe(ctx context.Context, k *kind, name string) (*description, error) {
	d := &description{Referring: map[string][]json.RawMessage{}}
	var err error
	if d.Object, _, err = s.of(k).Get(ctx, name); err != nil {
		return nil, err
	}
	var self struct{ ID, Name, Hostname string }
	if err := json.Unmarshal(d.Object, &self); err != nil {
		return nil, err
	}
	for _, r := range referring[k.name] {
		other, err := findKind(r.kind)
		if err != nil {
			return nil, err
		}
		items, err := s.of(other).List(ctx, typed.Listing{})
		if code(err) == exitDenied { // who may not see them hears of the rest
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, o := range items {
			if mentions(o, r.field, self.Name) {
				d.Referring[other.plural] = append(d.Referring[other.plural], o)
			}
		}
	}
	if self.Hostname != "" {
		if cert, _, err := s.api.Objects("managed-certificates", s.org).Get(ctx, self.Hostname); err == nil {
			d.Certificates = append(d.Certificates, cert)
		}
	}
	return d, s.deeds(ctx, k, self.ID, d)
}

// deeds adds what was done to the object last.
func (s *session) deeds(ctx context.Context, k *kind, id string, d *description) error {
	items, err := s.in(s.org, &kind{plural: "audit", org: k.org}).List(ctx, typed.Listing{})
	if err != nil {
		if code(err) == exitDenied {
			return nil
		}
		return err
	}
	for _, o := range slices.Backward(items) {
		var one typed.Entry
		if err := json.Unmarshal(o, &one); err != nil {
			return err
		}
		if one.Object == id {
			if d.Done = append(d.Done, one); len(d.Done) == lastDeeds {
				break
			}
		}
	}
	return nil
}

// mentions reports whether a field of an object is a name, or has it among others.
func mentions(o json.RawMessage, field, name string) bool {
	var all map[string]any
	if json.Unmarshal(o, &all) != nil {
		return false
	}
	switch v := all[field].(type) {
	case string:
		return v == name
	case []any:
		return slices.Contains(v, any(name))
	}
	return false
}

func (a *app) printDescription(k *kind, d *description) error {
	b, err := yamltext.FromJSON(d.Object)
	if err != nil {
		return err
	}
	a.line("%s\n%s", k.name, indent(string(b)))
	for _, other := range kinds {
		items := d.Referring[other.plural]
		if len(items) == 0 {
			continue
		}
		a.line("\n%s", heading(other.plural))
		for _, o := range items {
			row, err := a.row(other, o)
			if err != nil {
				return err
			}
			a.line("  %s", row)
		}
	}
	if len(d.Certificates) > 0 {
		a.line("\nCertificates")
		managed, err := findKind("ManagedCertificate")
		if err != nil {
			return err
		}
		for _, o := range d.Certificates {
			row, err := a.row(managed, o)
			if err != nil {
				return err
			}
			a.line("  %s", row)
		}
	}
	if len(d.Done) > 0 {
		a.line("\nDone to it, the last first")
		for _, e := range d.Done {
			a.line("  %s  %s by %s: %s", stamp(&e.At), e.Action, e.ActorName, e.Result)
		}
	}
	return nil
}

func indent(s string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n  ")
}

func heading(plural string) string {
	return strings.ToUpper(plural[:1]) + strings.ReplaceAll(plural[1:], "-", " ")
}

// row is an object in one line: its name, and what tables show of it.
func (a *app) row(k *kind, raw json.RawMessage) (string, error) {
	o, err := decoded(raw)
	if err != nil {
		return "", err
	}
	parts := []string{cell(o["name"])}
	for _, c := range k.columns {
		if v := cell(o[c]); v != "" {
			parts = append(parts, fmt.Sprintf("%s=%s", c, v))
		}
	}
	return strings.Join(parts, "  "), nil
}
