package admin

import (
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Visitor is somebody who may visit a service because he has shown a code that was mailed to him; it has no name but its id.
type Visitor struct {
	OrgMeta
	Mail      string    `json:"mail" doc:"Address that the code was mailed to"`
	Service   string    `json:"service"`
	Address   string    `json:"address,omitempty" doc:"From where he came"`
	ExpiresAt time.Time `json:"expires_at" doc:"When he needs another code"`
}

func visitors(a *Admin) *Collection[model.Visitor, struct{}, Visitor] {
	return &Collection[model.Visitor, struct{}, Visitor]{
		a: a, kind: "visitor", inOrg: true, read: access.VisitorsRead, write: access.VisitorsManage,
		byRef: func(c *call, ref string) (*model.Visitor, error) {
			id, err := (model.VisitorID{}).Parse(ref)
			if err != nil {
				return nil, notHere("visitor")
			}
			v, err := c.tx.GetVisitor(c, id)
			if err == nil && (v.Org != c.org || !time.Now().Before(v.Expires)) {
				return nil, notHere("visitor")
			}
			return v, err
		},
		list: func(c *call, p store.Page) ([]*model.Visitor, error) {
			return c.tx.ListVisitors(c, c.org, time.Now(), p)
		},
		after: func(v *model.Visitor) string { return v.ID.String() },
		drop:  func(c *call, v *model.Visitor) error { return c.tx.EndVisitor(c, v.ID) },
		view: func(c *call, v *model.Visitor) (out Visitor, err error) {
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.ID.String(), v.Org, v.Meta); err != nil {
				return out, err
			}
			out.Mail, out.ExpiresAt = v.Mail, v.Expires.UTC()
			if v.Address.IsValid() {
				out.Address = v.Address.String()
			}
			out.Service, err = c.name(v.Service.String(), func() (string, error) {
				s, err := c.tx.GetService(c, v.Service)
				if err != nil {
					return "", err
				}
				return s.Name, nil
			})
			return out, err
		},
	}
}
