package console

import (
	"context"
	"net/url"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// Pages of what only admin knows: objects that are no configuration of nodes, or of which the model has less.

// scope is what admin calls the organization of a page; "" for pages of the cluster.
func (q *Request) scope() string {
	if q.inCluster() {
		return ""
	}
	return q.Org.ID.String()
}

func (q *Request) inCluster() bool { return strings.HasPrefix(q.URL.Path, Root+"/cluster/") }

// here is the path of a page of the organization, or, on pages of the cluster, of the cluster.
func (q *Request) here(parts ...string) string {
	if q.inCluster() {
		return q.ToCluster(parts...)
	}
	return q.To(parts...)
}

// able says whether the caller has the one permission, or, on pages of the cluster, the other.
func (q *Request) able(inOrg, inCluster access.Permission) bool {
	if q.inCluster() {
		return q.Can(inCluster)
	}
	return q.Can(inOrg)
}

// Part is one page of a list that admin has, ordered by name.
type Part[V any] struct {
	Items       []V
	Next, First string // addresses; "" at the end, and on the first page
}

// part is the page that a request asks for.
func part[V any](q *Request, list func(ctx context.Context, p access.Principal, org, after string, limit int) ([]V, string, error)) (out Part[V], err error) {
	after := q.URL.Query().Get("after")
	items, next, err := list(q.Context(), q.Who, q.scope(), after, perPage)
	out.Items = items
	if next != "" {
		out.Next = withQuery(q.URL.Path, url.Values{"after": {next}})
	}
	if after != "" {
		out.First = q.URL.Path
	}
	return out, err
}

// mostChoices bounds what a field lets one choose of what admin has.
const mostChoices = 1000

// everyOf is all that admin has of a kind, as far as one can choose among it.
func everyOf[V any](q *Request, list func(ctx context.Context, p access.Principal, org, after string, limit int) ([]V, string, error)) (out []V, err error) {
	for after := ""; ; {
		items, next, err := list(q.Context(), q.Who, q.scope(), after, 500)
		if out = append(out, items...); err != nil || next == "" || len(out) >= mostChoices {
			return out, err
		}
		after = next
	}
}

// tried is what a form came to: what was done, or the form again with why it was not.
func tried(f Form, err error, done Done, again func(f Form, status int) (*Page, error)) (*Done, error) {
	if err == nil {
		return &done, nil
	}
	status := f.refuse(err)
	if status == 0 {
		return nil, err
	}
	p, err := again(f, status)
	return &Done{Page: p}, err
}

// removal is how objects of a kind are deleted, which a question comes before.
type removal struct {
	noun, list, title string // "policy", the path and title of the list
	warning           string // what else that means
	name              func(q *Request, ref string) (string, error)
	drop              func(q *Request, ref string) (model.Revision, error)
}

// removalOf is the removal of a collection's objects.
func removalOf[M, S, V any](k *admin.Collection[M, S, V], name func(V) string, r removal) removal {
	r.name = func(q *Request, ref string) (string, error) {
		v, err := k.Get(q.Context(), q.Who, q.scope(), ref)
		if err != nil {
			return "", err
		}
		return name(v), nil
	}
	r.drop = func(q *Request, ref string) (model.Revision, error) {
		return k.Delete(q.Context(), q.Who, q.scope(), ref)
	}
	return r
}

// removable registers the question and the deletion, below a path with the object as {name}.
func (c *Console) removable(path string, need access.Permission, r removal) {
	c.page(path+"/delete", need, func(q *Request) (*Page, error) {
		name, err := r.name(q, q.PathValue("name"))
		if err != nil {
			return nil, err
		}
		return &Page{
			Title: "Delete " + name + "?", Crumbs: []Crumb{{r.title, q.here(r.list)}},
			Top: question("The "+r.noun+" "+name+" is gone for good. "+r.warning, "Delete it", q.URL.Path, q.here(r.list)),
		}, nil
	})
	c.form(path+"/delete", need, func(q *Request) (*Done, error) {
		name, err := r.name(q, q.PathValue("name"))
		if err != nil {
			return nil, err
		}
		rev, err := r.drop(q, q.PathValue("name"))
		return &Done{To: q.here(r.list), Said: "The " + r.noun + " " + name + " is deleted.", Revision: rev}, err
	})
}
