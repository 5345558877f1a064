package console

import (
	"cmp"
	"slices"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/policy"
)

// Settings of the cluster are in files of its programs: these pages show what they come to, and try it.

func clusterSettings(q *Request) (*Page, error) {
	f := filled()
	if u, err := q.Admin.Me(q.Context(), q.Who); err == nil && u.User != nil {
		f.Set("to", u.User.Name)
	}
	return q.upkeep(f, nil, 0)
}

// upkeep is the page, with what came of a test message; nil: none was sent.
func (q *Request) upkeep(f Form, sent *admin.MailTest, status int) (*Page, error) {
	mail, err := q.Admin.Mail(q.Context(), q.Who)
	if err != nil {
		return nil, err
	}
	safe, err := q.Admin.Backups(q.Context(), q.Who)
	if err != nil {
		return nil, err
	}
	list, without := q.places()
	countries, networks := q.policiesAboutPlaces()
	return &Page{Title: "Settings", Status: status, Top: upkeepView(q, mail, f, sent, safe), Live: placesView(q, list, without, countries, networks)}, nil
}

func testMail(q *Request) (*Done, error) {
	f := formOf(q)
	v, err := q.Admin.TestMail(q.Context(), q.Who, admin.MailTestSpec{To: f.Get("to")})
	q.URL.Path = q.ToCluster("settings") // what the page follows from here on
	if err != nil {
		return tried(f, err, Done{}, func(f Form, status int) (*Page, error) { return q.upkeep(f, nil, status) })
	}
	p, err := q.upkeep(f, &v, 0)
	return &Done{Page: p}, err
}

// Placing is a database of addresses of a node.
type Placing struct {
	Node string
	presence.PlacesFile
}

// places are the databases of addresses of all nodes that are connected, and the names of those that have none.
func (q *Request) places() (out []Placing, without []string) {
	for n := range q.m.Nodes() {
		v := q.node(n)
		if !v.Up {
			continue
		}
		if len(v.Places) == 0 {
			without = append(without, n.Name)
		}
		for _, f := range v.Places {
			out = append(out, Placing{n.Name, f})
		}
	}
	slices.SortStableFunc(out, func(a, b Placing) int { return cmp.Compare(a.Node, b.Node) })
	slices.Sort(without)
	return out, without
}

// policiesAboutPlaces counts those that ask in which country a client is, or whose network it comes from.
func (q *Request) policiesAboutPlaces() (countries, networks int) {
	about := func(c *policy.Conditions) (bool, bool) { return len(c.Countries) > 0, len(c.ASNs) > 0 }
	for p := range q.m.Policies() {
		var c, n bool
		for i := range p.Rules {
			for _, w := range []*policy.Conditions{&p.Rules[i].Conditions, &p.Rules[i].Unless} {
				inC, inN := about(w)
				c, n = c || inC, n || inN
			}
		}
		if c {
			countries++
		}
		if n {
			networks++
		}
	}
	return countries, networks
}

func (c *Console) upkeepRoutes(cluster string) {
	c.page(cluster+"/settings", access.ClusterManage, clusterSettings)
	c.form(cluster+"/settings/mail", access.ClusterManage, testMail)
}
