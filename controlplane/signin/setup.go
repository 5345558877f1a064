package signin

import (
	"context"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/store"
)

// ErrSetUp is returned once there is an administrator.
var ErrSetUp = fault.New(fault.Conflict, "there is an administrator already: he invites others")

// NewSetupToken makes the token with which the first administrator is made, while there is none. Those that were made
// before are void. It needs nothing but the store: who can write there needs no token.
func NewSetupToken(ctx context.Context, db *store.Store) (token string, err error) {
	_, err = db.Tx(ctx, "setup", func(tx *store.Tx) error {
		n, err := tx.CountAdministrators(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			return ErrSetUp
		}
		if err := tx.DropFlows(ctx, model.FlowSetup, model.UserID{}); err != nil {
			return err
		}
		var hash []byte
		token, hash = newToken()
		return tx.CreateFlow(ctx, hash, &model.Flow{Kind: model.FlowSetup, Expires: now().Add(setupLife)})
	})
	return token, err
}

// Person is what somebody says of himself who becomes a user.
type Person struct {
	Email, Name, Password string
}

// CheckSetup says whether a setup token is good.
func (s *Service) CheckSetup(ctx context.Context, c Client, token string) error {
	if err := s.take(ctx, limits.NewKey(perClient, "client", limits.Client(c.Address))); err != nil {
		return err
	}
	return over(s.Store.View(ctx, func(tx *store.Tx) error {
		_, err := tx.GetFlow(ctx, tokenHash(token), model.FlowSetup, s.Now())
		return err
	}), ErrLink)
}

// Setup makes the first administrator and signs him in.
func (s *Service) Setup(ctx context.Context, c Client, token string, p Person) (out Outcome, err error) {
	if err := s.CheckSetup(ctx, c, token); err != nil {
		return out, err
	}
	u, hash, err := s.person(ctx, p)
	if err != nil {
		return out, err
	}
	u.ClusterRole = model.RoleClusterAdmin
	out, err = s.session(ctx, c, u.ID, []string{amrPassword}, noTime, func(tx *store.Tx) error {
		if _, err := tx.TakeFlow(ctx, tokenHash(token), model.FlowSetup, s.Now()); err != nil {
			return over(err, ErrLink)
		}
		if n, err := tx.CountAdministrators(ctx); err != nil || n > 0 {
			if err == nil {
				err = ErrSetUp
			}
			return err
		}
		if err := createUser(ctx, tx, u, hash); err != nil {
			return err
		}
		return own(ctx, tx, u)
	})
	if err == nil {
		s.tell(ctx, Event{Action: "setup", User: u.ID, Client: c})
	}
	return out, err
}

// own makes the first administrator an owner of the organization that a fresh cluster has: whoever publishes a first
// service for its members wants to visit it. A cluster without that organization has others for him to join.
func own(ctx context.Context, tx *store.Tx, u *model.User) error {
	org, err := tx.GetOrganizationByName(ctx, admin.DefaultName)
	if fault.Of(err) == fault.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.CreateMembership(ctx, &model.Membership{Org: org.ID, User: u.ID, Roles: []model.RoleID{model.RoleOwner}})
}

// person makes a user of what somebody says of himself, with the hash of his password.
func (s *Service) person(ctx context.Context, p Person) (*model.User, string, error) {
	email, err := model.CanonicalEmail(p.Email)
	if err != nil {
		return nil, "", err
	}
	u := &model.User{ID: model.UserID{}.New(), Email: email, Name: p.Name}
	if err := u.Validate(); err != nil {
		return nil, "", err
	}
	hash, err := s.newHash(ctx, p.Password, u.Email, u.Name)
	return u, hash, err
}

func createUser(ctx context.Context, tx *store.Tx, u *model.User, hash string) error {
	if err := tx.CreateUser(ctx, u); err != nil {
		return err
	}
	return tx.SetPassword(ctx, u.ID, hash)
}
