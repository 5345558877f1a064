package console

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

// listVisitors shows who visits services because he has shown a code that was mailed to him.
func listVisitors(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.Visitors.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Visitors", Top: q.peopleTop(), Live: visitorsView(q, list)}, nil
}

func (c *Console) visitorRoutes(org string) {
	c.page(org+"/visitors", access.VisitorsRead, listVisitors)
	c.removable(org+"/visitors/{name}", access.VisitorsManage, removalOf(c.Admin.Visitors, func(v admin.Visitor) string { return v.Mail },
		removal{noun: "visit of", list: "visitors", title: "Visitors", warning: "Whoever it is needs another code."}))
}
