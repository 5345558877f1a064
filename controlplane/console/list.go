package console

import (
	"cmp"
	"iter"
	"net/url"
	"slices"
	"strings"
)

// perPage is how many rows a list shows.
const perPage = 50

// Rows is one page of a list, ordered by name.
type Rows[T any] struct {
	Items []T
	Total int    // that match
	Query string // what was searched for
	Next  string // address of the next page, "" at the end
	First string // address of the first page, "" on it
}

// rows makes the page that a request asks for of what matches: each has a name, which is unique, and texts in which
// one may search.
func rows[T any](q *Request, all iter.Seq[T], name func(T) string, texts func(T) []string) Rows[T] {
	out := Rows[T]{Query: strings.TrimSpace(q.URL.Query().Get("q"))}
	after := q.URL.Query().Get("after")
	words := strings.Fields(strings.ToLower(out.Query))
	shown := firsts[T]{most: perPage + 1, order: func(a, b T) int { return cmp.Compare(name(a), name(b)) }}
	for v := range all {
		if !matches(words, name(v), v, texts) {
			continue
		}
		out.Total++
		if name(v) > after {
			shown.add(v)
		}
	}
	out.Items = shown.items
	if len(out.Items) > perPage {
		out.Items = out.Items[:perPage]
		out.Next = listURL(q, out.Query, name(out.Items[perPage-1]))
	}
	if after != "" {
		out.First = listURL(q, out.Query, "")
	}
	return out
}

// firsts keeps what comes first of much, in order: at most most.
type firsts[T any] struct {
	most  int
	order func(a, b T) int
	items []T
}

func (f *firsts[T]) add(v T) {
	full := len(f.items) == f.most
	if full && f.order(v, f.items[f.most-1]) >= 0 {
		return
	}
	i, _ := slices.BinarySearchFunc(f.items, v, f.order)
	if full {
		f.items = f.items[:f.most-1]
	}
	f.items = slices.Insert(f.items, i, v)
}

func matches[T any](words []string, name string, v T, texts func(T) []string) bool {
	if len(words) == 0 {
		return true
	}
	hay := strings.ToLower(name)
	for _, t := range texts(v) {
		hay += "\n" + strings.ToLower(t)
	}
	for _, w := range words {
		if !strings.Contains(hay, w) {
			return false
		}
	}
	return true
}

func listURL(q *Request, query, after string) string {
	v := url.Values{}
	if query != "" {
		v.Set("q", query)
	}
	if after != "" {
		v.Set("after", after)
	}
	if len(v) == 0 {
		return q.URL.Path
	}
	return q.URL.Path + "?" + v.Encode()
}

// of keeps the rows for which keep holds.
func of[T any](all iter.Seq[T], keep func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range all {
			if keep(v) && !yield(v) {
				return
			}
		}
	}
}

func values[T any](list []T) iter.Seq[T] { return slices.Values(list) }
