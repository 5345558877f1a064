// Package typed calls the operations of the REST API by their types, which are generated from its description.
//
// How a call travels, and what it comes to if it has no success, is the transport's: package apiclient.
package typed

import (
	"context"
	"encoding"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient"
)

//go:generate oapi-codegen -config oapi-codegen.yaml ../../../api/rest/openapi.yaml
//go:generate go run ./collect typed.gen.go collections.gen.go

// Client calls one control plane. Safe for concurrent use.
type Client struct {
	transport *apiclient.Client
	tag       string
}

// New makes a Client of a transport.
func New(t *apiclient.Client) Client { return Client{transport: t} }

// If is the client whose calls are refused, with status 412, unless the object that they write has a tag, as Written said it.
func (c Client) If(tag string) Client { return Client{c.transport, tag} }

// call makes a call of an operation: parts take the places of {…} in its path, in their order.
func (c Client) call(ctx context.Context, method, path string, parts []string, params, in, out any) (apiclient.Written, error) {
	for _, p := range parts {
		before, rest, _ := strings.Cut(path, "{")
		_, after, _ := strings.Cut(rest, "}")
		path = before + url.PathEscape(p) + after
	}
	if q := Query(params); len(q) > 0 {
		path += "?" + q.Encode()
	}
	return c.transport.DoIf(ctx, method, path, c.tag, in, out)
}

// Query makes a query of generated parameters: those that are not zero.
func Query(params any) url.Values {
	q := url.Values{}
	if params == nil {
		return q
	}
	v := reflect.ValueOf(params)
	for i, f := range reflect.VisibleFields(v.Type()) {
		name, _, _ := strings.Cut(f.Tag.Get("form"), ",")
		if at := v.Field(i); !at.IsZero() {
			add(q, name, at)
		}
	}
	return q
}

func add(q url.Values, name string, v reflect.Value) {
	if text, ok := v.Interface().(encoding.TextMarshaler); ok {
		if b, err := text.MarshalText(); err == nil {
			q.Add(name, string(b))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		add(q, name, v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			add(q, name, v.Index(i))
		}
	default:
		q.Add(name, fmt.Sprint(v.Interface()))
	}
}

// All reads all pages of a list: each says where the next one begins, "" at the end.
func All[V any](read func(token string) (items []V, next string, err error)) ([]V, error) {
	all := []V{}
	for token := ""; ; {
		items, next, err := read(token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if token = next; token == "" {
			return all, nil
		}
	}
}

// Applied waits until every connected node and connector that a revision concerns has applied it. It is a problem with status
// 504 when that takes longer than limit. When the replica that is asked ends meanwhile another one is.
func (c Client) Applied(ctx context.Context, revision uint64, limit time.Duration) (WaitAnswerBody, error) {
	const pause = 250 * time.Millisecond
	for deadline := time.Now().Add(limit); ; {
		left := min(time.Until(deadline), 20*time.Second) // below the limit of one call
		r, _, err := c.Wait(ctx, WaitParams{Revision: int64(revision), Timeout: max(left, time.Millisecond).String()})
		passes := apiclient.Passes(err)
		if left = time.Until(deadline); left <= 0 || !passes && apiclient.StatusOf(err) != http.StatusGatewayTimeout {
			return r, err
		}
		if !passes {
			continue // it has waited
		}
		select {
		case <-ctx.Done():
			return r, err
		case <-time.After(min(left, pause)):
		}
	}
}
