// Package visit tells nodes who the people are that have signed in and want to visit a service.
//
// What a policy asks beyond that, nodes decide themselves, at each request: a token says which roles and groups somebody
// has, not what he may.
package visit

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/accesskey"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/hostname"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/policy"
)

// ErrWeak is what somebody is told whose session does not count in the organization.
var ErrWeak = fault.New(fault.Denied, "the organization of this service wants a second factor, or that you signed in more recently: sign out here, and in again")

// codeLife is how long a browser may take from the control plane to a node.
const codeLife = time.Minute

// Sessions finds who has signed in, and ends what he signed in to.
type Sessions interface {
	FindSession(ctx context.Context, token string) (*model.Session, *model.User, error)
	EndSession(ctx context.Context, tx *store.Tx, v *model.Session) error
}

// Options is what a Server is made of.
type Options struct {
	Cluster    string // id
	Store      *store.Store
	Sessions   Sessions
	World      *model.Current
	Open       func(sealed []byte, aad string) ([]byte, error) // of private keys
	Admit      identity.Admit                                  // which node calls
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// mailSubject is before the address in the subject of who was mailed a code.
const mailSubject = "mail:"

// Server implements nodev1.AccessServiceServer.
type Server struct {
	nodev1.UnimplementedAccessServiceServer
	Options
	calls *prometheus.CounterVec
}

// New makes a Server.
func New(o Options) *Server {
	s := &Server{Options: o, calls: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_visits_total", Help: "Steps of visitors who sign in, by what they did and what came of it."}, []string{"call", "result"})}
	o.Registerer.MustRegister(s.calls)
	return s
}

// Revoke takes back what rests on sessions of a user, or, without any, all that was given to him. It is what admin calls
// where they end.
func Revoke(ctx context.Context, tx *store.Tx, user model.UserID, sessions []model.SessionID) error {
	for _, id := range sessions {
		if err := tx.Revoke(ctx, id.String(), ""); err != nil {
			return err
		}
	}
	if len(sessions) == 0 {
		return tx.Revoke(ctx, "", user.String())
	}
	return nil
}

// Stale has what was said of users, or, without any, of all who visit services of an organization, said anew before it is
// believed. It is what admin calls where roles, groups and the like are changed.
func Stale(ctx context.Context, tx *store.Tx, org model.OrgID, users []model.UserID) error {
	if len(users) == 0 || len(users) > maxStale && !org.IsZero() {
		return tx.Stale(ctx, org.String())
	}
	subjects := make([]string, len(users))
	for i, id := range users {
		subjects[i] = id.String()
	}
	return tx.Stale(ctx, subjects...)
}

// maxStale is of how many users each is told to all nodes; of more, their organization is.
const maxStale = 64

// serviceAt finds the service of a canonical hostname that nodes speak HTTP for; nil if there is none.
func serviceAt(m *model.Model, host string) *model.Service {
	names := []string{host}
	if w, ok := hostname.Wildcard(host); ok {
		names = append(names, w)
	}
	for _, name := range names {
		for s := range m.ServicesNamed(name) {
			if s.Kind == model.HTTP {
				return s
			}
			return nil // a name belongs to one service: the wildcard is not what serves it
		}
	}
	return nil
}

// claims are what is true of a session now, a user's or that of who was mailed a code, for a visit of a service.
func (s *Server) claims(ctx context.Context, tx *store.Tx, session string, svc *model.Service) (*accesstoken.Claims, error) {
	if id, err := (model.VisitorID{}).Parse(session); err == nil {
		return s.visitorClaims(ctx, tx, id, svc)
	}
	id, err := model.SessionID{}.Parse(session)
	if err != nil {
		return nil, fault.New(fault.NotFound, "no session")
	}
	return s.userClaims(ctx, tx, id, svc)
}

// userClaims are what is true of who has signed in. The rows of user and organization are held until the transaction ends:
// who disables him, ends the session or changes what is said here comes before this, or takes back what this has given.
func (s *Server) userClaims(ctx context.Context, tx *store.Tx, id model.SessionID, svc *model.Service) (*accesstoken.Claims, error) {
	v, err := tx.GetSession(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := tx.ShareUser(ctx, v.User); err != nil {
		return nil, err
	}
	if err := tx.ShareOrganization(ctx, svc.Org); err != nil {
		return nil, err
	}
	if v, err = tx.GetSession(ctx, id); err != nil { // as it is now that nobody can end it
		return nil, err
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return nil, err
	}
	u, err := tx.GetUser(ctx, v.User)
	if err != nil {
		return nil, err
	}
	if v.Ended(now) || !u.Disabled.IsZero() {
		return nil, fault.New(fault.NotFound, "session has ended")
	}
	m, err := tx.GetMembership(ctx, svc.Org, u.ID)
	if fault.Of(err) == fault.NotFound {
		return nil, ErrMayNot
	}
	if err != nil {
		return nil, err
	}
	wants, err := tx.GetSecurity(ctx, svc.Org)
	if err != nil {
		return nil, err
	}
	if !wants.Met(v, now) {
		return nil, ErrWeak
	}
	c := &accesstoken.Claims{
		Issuer: s.Cluster, Subject: u.ID.String(), Session: v.ID.String(), Org: svc.Org.String(), Email: u.Email, Name: u.Name, Methods: v.AMR,
	}
	c.Issue(now)
	who, err := member(ctx, tx, u, m)
	if err != nil {
		return nil, err
	}
	c.Roles, c.Groups = who.Roles, who.Groups
	return c, nil
}

// member is what policies of an organization see of a member.
func member(ctx context.Context, tx *store.Tx, u *model.User, in *model.Membership) (*policy.User, error) {
	who := &policy.User{ID: u.ID.String(), Org: in.Org.String(), Email: u.Email}
	roles, err := tx.GetRoles(ctx, in.Roles)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		who.Roles = append(who.Roles, r.Name)
	}
	groups, err := tx.ListGroupsOfUser(ctx, in.Org, u.ID)
	for _, g := range groups {
		who.Groups = append(who.Groups, g.Name)
	}
	return who, err
}

// sign makes a token with the key that all nodes know.
func (s *Server) sign(c *accesstoken.Claims) (string, error) {
	for k := range s.World.Get().AccessKeys() {
		if k.State != model.AccessKeyCurrent {
			continue
		}
		private, err := accesskey.Open(k, s.Open)
		if err != nil {
			return "", err
		}
		return accesstoken.Sign(private, k.ID.String(), c)
	}
	return "", fault.New(fault.Unavailable, "there is no key that signs yet")
}

// verify reads a token that a node shows, of a service of its own.
func (s *Server) verify(m *model.Model, node *model.Node, token string) (*accesstoken.Claims, *model.Service, error) {
	keys := map[string]ed25519.PublicKey{}
	for k := range m.AccessKeys() {
		keys[k.ID.String()] = k.Public
	}
	c, err := accesstoken.Verify(token, keys)
	if err == nil {
		err = c.CheckTime(time.Now())
	}
	if err != nil {
		return nil, nil, fault.New(fault.NotFound, "%v", err)
	}
	svc := serviceAt(m, c.Audience)
	if c.Issuer != s.Cluster || svc == nil || svc.Pool != node.Pool {
		return nil, nil, fault.New(fault.NotFound, "a token for a host that this node does not serve")
	}
	return c, svc, nil
}
