package visit

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/hostname"
)

// ErrNoPerson is told to keys that want to visit a service as somebody.
var ErrNoPerson = fault.New(fault.Conflict, "only who has signed in visits services as himself: a program of its own has a service token of the policy")

// ProgramToken lets a program of who calls visit a service of an organization as him, for a quarter of an hour at most and no
// longer than his session. Of organizations that he is no member of he learns nothing.
func (s *Server) ProgramToken(ctx context.Context, p access.Principal, org, host string) (token string, expires time.Time, err error) {
	if p.Session.IsZero() {
		return "", expires, ErrNoPerson
	}
	name, err := hostname.Canonical(host)
	if err != nil {
		return "", expires, fault.Field("host", "%v", err)
	}
	m := s.World.Get()
	svc := serviceAt(m, name)
	none := fault.New(fault.NotFound, "no HTTP service of this organization has the hostname %s", name)
	if svc == nil {
		return "", expires, none
	}
	if o := m.Organization(svc.Org); o == nil || org != o.Name && org != o.ID.String() {
		return "", expires, none
	}
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	secret := base64.RawURLEncoding.EncodeToString(b)
	_, err = s.Store.Tx(ctx, "visit:"+p.Session.String(), func(tx *store.Tx) error {
		c, err := s.userClaims(ctx, tx, p.Session, svc)
		if err == ErrMayNot {
			return none
		}
		if err != nil {
			return err
		}
		if err := mayVisit(m, svc, c); err != nil {
			return err
		}
		c.Audience, c.Binding, c.Use, expires = name, accesstoken.Binding(secret), accesstoken.UseProgram, c.Expires.Time()
		token, err = s.sign(c)
		return err
	})
	if err != nil {
		return "", time.Time{}, err
	}
	s.calls.WithLabelValues("program", "ok").Inc()
	return accesstoken.Join(token, secret), expires, nil
}
