package console

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
)

// Answered is what nodes answer for a name of a domain.
type Answered struct {
	Name, Type, Value string
	Service           string // by name; "" of names of the domain itself
}

// answers is what nodes answer for the names of a domain: its own first, then those of services. For services they name
// nodes of the pool, see named.
func (q *Request) answers(d *model.Domain) iter.Seq[Answered] {
	return func(yield func(Answered) bool) {
		if d.Unproven {
			return
		}
		down := q.silent(d)
		for _, r := range q.records(d) {
			if r.Type == "NS" && down[strings.TrimSuffix(r.Value, ".")] {
				continue
			}
			if !yield(Answered{Name: strings.TrimSuffix(r.Name, "."), Type: r.Type, Value: strings.TrimSuffix(r.Value, ".")}) {
				return
			}
		}
		for _, c := range q.m.CAAOf(d) {
			if !yield(Answered{Name: d.Name, Type: "CAA", Value: "0 " + c.Tag + " \"" + c.Value + "\""}) {
				return
			}
		}
		addresses := map[string]string{}
		for kind, list := range q.named(d.Pool) {
			addresses[kind] = strings.Join(list, ", ")
		}
		for s := range q.m.ServicesWithin(d.Name) {
			if s.Raw() || s.Org != d.Org || s.Pool != d.Pool || q.m.DomainCovering(s.Hostname) != d {
				continue
			}
			for _, kind := range []string{"A", "AAAA"} {
				if list := addresses[kind]; list != "" && !yield(Answered{s.Hostname, kind, list, s.Name}) {
					return
				}
			}
		}
	}
}

// silent are the name servers of a domain that its nodes leave out of their NS answers: those that are down, unless all are.
// Their own names stay, since the parent names them.
func (q *Request) silent(d *model.Domain) map[string]bool {
	down, up := map[string]bool{}, false
	for n := range q.m.NodesOf(d.Pool) {
		switch {
		case !n.Enrolled():
		case q.node(n).Up:
			up = true
		default:
			down[model.GluePrefix+n.Name+"."+d.Name] = true
		}
	}
	if !up {
		return nil
	}
	return down
}

// named are the addresses of the nodes of a pool that DNS names, by type of record: those that live and are not drained, and
// all if there are none such.
func (q *Request) named(pool model.PoolID) map[string][]string {
	var all, living []*model.Node
	for n := range q.m.NodesOf(pool) {
		if !n.Enrolled() {
			continue
		}
		all = append(all, n)
		if n.Lifecycle != model.Draining && q.node(n).Up {
			living = append(living, n)
		}
	}
	if len(living) == 0 {
		living = all
	}
	out := map[string][]string{}
	for _, n := range living {
		for _, a := range n.Addresses {
			kind := "AAAA"
			if a.Is4() {
				kind = "A"
			}
			out[kind] = append(out[kind], a.String())
		}
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}

// answersOf is a page of the answers for a domain, those that are searched for, in the order in which they come: what a page
// begins after is the place of an answer.
func (q *Request) answersOf(d *model.Domain) Rows[Answered] {
	out := Rows[Answered]{Query: strings.TrimSpace(q.URL.Query().Get("q"))}
	after, _ := strconv.Atoi(q.URL.Query().Get("after")) // 0: from the first on
	words := strings.Fields(strings.ToLower(out.Query))
	place, last := 0, 0
	for a := range q.answers(d) {
		place++
		if !matches(words, a.Name, a, func(a Answered) []string { return []string{a.Type, a.Value} }) {
			continue
		}
		out.Total++
		switch {
		case place <= after:
		case len(out.Items) < perPage:
			out.Items, last = append(out.Items, a), place
		case out.Next == "":
			out.Next = listURL(q, out.Query, strconv.Itoa(last))
		}
	}
	if after > 0 {
		out.First = listURL(q, out.Query, "")
	}
	return out
}
