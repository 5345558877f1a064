package typed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/warrenedge/warren/controlplane/apiclient"
)

// collection is what can be done to objects of a kind, by the methods of the client that do it; nil: it can't. Objects go in
// and out as JSON, by way of the types.
type collection struct {
	list   func(ctx context.Context, c Client, org string, l Listing) (items []json.RawMessage, next string, err error)
	get    func(ctx context.Context, c Client, org, name string) (json.RawMessage, apiclient.Written, error)
	create func(ctx context.Context, c Client, org string, fields map[string]any) (json.RawMessage, apiclient.Written, error)
	put    func(ctx context.Context, c Client, org, name string, fields map[string]any) (json.RawMessage, apiclient.Written, error)
	delete func(ctx context.Context, c Client, org, name string) (apiclient.Written, error)
	label  func(ctx context.Context, c Client, org, name string, change LabelChange) (LabelView, apiclient.Written, error)
}

// Listing says which objects a list is to have.
type Listing struct {
	Labels []string // key=value; of several all

	size  int64
	token string
}

// Objects are those of a kind, for whoever treats all kinds alike.
type Objects struct {
	c      Client
	plural string
	org    string
	collection
}

// Objects returns the objects of a kind, as paths have its name: those of an organization, or, without one, of the cluster.
// What is the caller's own is below "me/".
func (c Client) Objects(plural, org string) Objects {
	at := plural
	if org != "" {
		at = "orgs/{org}/" + plural
	}
	return Objects{c, plural, org, collections[at]}
}

// maxPage is the most that a list gives at once.
const maxPage = 500

// List reads all pages.
func (o Objects) List(ctx context.Context, l Listing) ([]json.RawMessage, error) {
	if o.list == nil {
		return nil, o.cannot("listed")
	}
	return All(func(token string) ([]json.RawMessage, string, error) {
		l.size, l.token = maxPage, token
		return o.list(ctx, o.c, o.org, l)
	})
}

// Get reads one, by name or id.
func (o Objects) Get(ctx context.Context, name string) (json.RawMessage, apiclient.Written, error) {
	if o.get == nil {
		return nil, apiclient.Written{}, o.cannot("read one by one")
	}
	return o.get(ctx, o.c, o.org, name)
}

// Create makes one, which must not be there.
func (o Objects) Create(ctx context.Context, fields map[string]any) (json.RawMessage, apiclient.Written, error) {
	if o.create == nil {
		return nil, apiclient.Written{}, o.cannot("made")
	}
	return o.create(ctx, o.c, o.org, fields)
}

// Put makes one be so, whether it is there or not.
func (o Objects) Put(ctx context.Context, name string, fields map[string]any) (json.RawMessage, apiclient.Written, error) {
	if o.put == nil {
		return nil, apiclient.Written{}, o.cannot("written")
	}
	return o.put(ctx, o.c, o.org, name, fields)
}

// Delete removes one.
func (o Objects) Delete(ctx context.Context, name string) (apiclient.Written, error) {
	if o.delete == nil {
		return apiclient.Written{}, o.cannot("removed")
	}
	return o.delete(ctx, o.c, o.org, name)
}

// Label sets labels of one, or takes them away where they are nil.
func (o Objects) Label(ctx context.Context, name string, change map[string]*string) (LabelView, apiclient.Written, error) {
	if o.label == nil {
		return LabelView{}, apiclient.Written{}, o.cannot("labelled")
	}
	return o.label(ctx, o.c, o.org, name, LabelChange{Labels: change})
}

func (o Objects) cannot(what string) error {
	return fmt.Errorf("%s can't be %s", strings.ReplaceAll(o.plural, "-", " "), what)
}

// objects are those of a page as JSON.
func objects[O any](page []O, next string, err error) ([]json.RawMessage, string, error) {
	items := make([]json.RawMessage, len(page))
	for i := 0; i < len(page) && err == nil; i++ {
		items[i], err = json.Marshal(page[i])
	}
	return items, next, err
}

// object is one as JSON.
func object[O any](o O, w apiclient.Written, err error) (json.RawMessage, apiclient.Written, error) {
	if err != nil {
		return nil, w, err
	}
	b, err := json.Marshal(o)
	return b, w, err
}

// with makes a call with fields as a body of its type. One that the type does not have is an error, and not left out.
func with[B, R any](fields map[string]any, call func(B) (R, apiclient.Written, error)) (r R, w apiclient.Written, err error) {
	b, err := json.Marshal(fields)
	if err != nil {
		return r, w, err
	}
	var body B
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return r, w, fmt.Errorf("fields: %w", err)
	}
	return call(body)
}
