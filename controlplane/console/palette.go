package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
)

// mostFound is how many findings are shown: who wants others types more.
const mostFound = 20

// finding is a page, an object or something to do.
type finding struct {
	Kind, Text, Detail, To string
	rank                   int // the least first
}

// beginnings are what somebody sets out to do.
var beginnings = []entry{
	{"Connect a site", "connect", access.SitesWrite},
	{"Publish a service", "publish", access.ServicesWrite},
	{"Add a domain", "add-domain", access.DomainsWrite},
	{"New policy", "new-policy", access.PoliciesWrite},
	{"New alert rule", "new-alert-rule", access.AlertsManage},
}

// findings are what somebody may see or do whose words begin with, or that contain, what he has typed: best first.
func (q *Request) findings(typed string) []finding {
	typed = strings.ToLower(strings.TrimSpace(typed))
	if typed == "" || q.Org == nil {
		return nil
	}
	var out []finding
	add := func(kind, text, detail, to string) {
		if r := fit(typed, text, detail); r >= 0 {
			out = append(out, finding{kind, text, detail, to, r})
		}
	}
	for _, s := range links(q) {
		for _, l := range s.Links {
			add("page", l.Text, s.Title, l.To)
		}
	}
	for _, a := range beginnings {
		if q.Can(a.need) {
			add("action", a.text, "", q.To(a.to))
		}
	}
	q.eachObject(add)
	slices.SortStableFunc(out, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(len(a.Text), len(b.Text)), strings.Compare(a.Text, b.Text))
	})
	return out[:min(len(out), mostFound)]
}

// eachObject calls add for the objects that the caller may see.
func (q *Request) eachObject(add func(kind, text, detail, to string)) {
	if q.Can(access.ServicesRead) {
		for s := range q.m.ServicesBy(q.Org.ID) {
			add("service", s.Name, s.Hostname, q.To("services", s.Name))
		}
	}
	if q.Can(access.SitesRead) {
		for s := range q.m.Sites() {
			if s.Org == q.Org.ID {
				add("site", s.Name, "", q.To("sites", s.Name))
			}
		}
	}
	if q.Can(access.DomainsRead) {
		for d := range q.m.Domains() {
			if d.Org == q.Org.ID {
				add("domain", d.Name, "", q.To("domains", d.Name))
			}
		}
	}
	if q.Can(access.PoliciesRead) {
		for p := range q.m.Policies() {
			if p.Org == q.Org.ID {
				add("policy", p.Name, "", q.To("policies", p.Name))
			}
		}
	}
	if q.Who.Can(access.NodesRead, model.OrgID{}) {
		for n := range q.m.Nodes() {
			add("node", n.Name, "", q.ToCluster("nodes", n.Name))
		}
	}
}

// fit says how well a text fits: it begins so, one of its words does, it or the detail contains it; -1: not at all.
func fit(typed, text, detail string) int {
	text, detail = strings.ToLower(text), strings.ToLower(detail)
	switch at := strings.Index(text, typed); {
	case at == 0:
		return 0
	case at > 0 && strings.ContainsAny(text[at-1:at], " -."):
		return 1
	case at > 0:
		return 2
	case strings.Contains(detail, typed):
		return 3
	}
	return -1
}

// findPage is the palette as a page: for who has no script, or presses Enter.
func findPage(q *Request) (*Page, error) {
	typed := q.URL.Query().Get("q")
	return &Page{Title: "Find", Top: finder(q, typed, "Pages, objects, things to do"), Live: foundView(q.findings(typed), typed)}, nil
}

// foundList is what the palette shows while one types.
func (c *Console) foundList(w http.ResponseWriter, r *http.Request) {
	q, ok := c.begin(w, r)
	if !ok {
		return
	}
	typed := r.URL.Query().Get("q")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := foundItems(q.findings(typed), typed).Render(r.Context(), w); err != nil {
		c.Log.Debug("list not sent", "err", err)
	}
}
