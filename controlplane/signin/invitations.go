package signin

import (
	"context"
	"fmt"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/store"
)

// Invited is an invitation as whoever got its link sees it.
type Invited struct {
	Organization, Email string
	Known               bool // there is such a user: he signs in, and joins
}

// NewInvitation gives an invitation its token, in a transaction of the caller, and returns the link, which is shown once.
func (s *Service) NewInvitation(ctx context.Context, tx *store.Tx, v *model.Invitation) (link string, err error) {
	token, hash := newToken()
	v.Hash, v.Expires = hash, s.Now().Add(linkLife).UTC().Truncate(time.Microsecond)
	return s.link(PathInvitation, token), tx.CreateInvitation(ctx, v)
}

// MailInvitation mails the link of an invitation, where there is mail.
func (s *Service) MailInvitation(v *model.Invitation, organization, link string) error {
	return s.Mail.Send(mail.Message{To: v.Email, Subject: "Join " + organization + " on Warren", Text: fmt.Sprintf(
		"You are invited to join the organization %s at %s.\n\nAccept here within %d minutes:\n\n%s\n", organization, s.URL.Host, int(linkLife.Minutes()), link)})
}

// CheckInvitation says what a link is for.
func (s *Service) CheckInvitation(ctx context.Context, c Client, token string) (out Invited, err error) {
	if err := s.take(ctx, limits.NewKey(perClient, "client", limits.Client(c.Address))); err != nil {
		return out, err
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		v, err := tx.GetInvitationByHash(ctx, tokenHash(token), s.Now())
		if err != nil {
			return err
		}
		o, err := tx.GetOrganization(ctx, v.Org)
		if err != nil {
			return err
		}
		out = Invited{Organization: o.Name, Email: v.Email}
		_, err = tx.GetUserByEmail(ctx, v.Email)
		if out.Known = err == nil; fault.Of(err) == fault.NotFound {
			return nil
		}
		return err
	})
	return out, over(err, ErrLink)
}

// Accept makes a user of whoever got the link, a member with the roles of the invitation, and signs him in.
func (s *Service) Accept(ctx context.Context, c Client, token string, p Person) (out Outcome, err error) {
	in, err := s.CheckInvitation(ctx, c, token)
	if err != nil {
		return out, err
	}
	p.Email = in.Email // the link went there, and nowhere else
	u, hash, err := s.person(ctx, p)
	if err != nil {
		return out, err
	}
	out, err = s.session(ctx, c, u.ID, []string{amrPassword}, noTime, func(tx *store.Tx) error {
		v, err := s.takeInvitation(ctx, tx, token)
		if err != nil {
			return err
		}
		if err := createUser(ctx, tx, u, hash); err != nil {
			if fault.Of(err) == fault.Conflict {
				return fault.New(fault.Conflict, "there is an account with this address by now: sign in, and open the link again")
			}
			return err
		}
		return tx.CreateMembership(ctx, &model.Membership{Org: v.Org, User: u.ID, Email: u.Email, Roles: v.Roles})
	})
	if err == nil {
		s.tell(ctx, Event{Action: "invitation.accept", User: u.ID, Client: c, Detail: in.Organization})
	}
	return out, err
}

// Join makes a user who is signed in a member with the roles of the invitation. His session gets another token: it is
// worth more than before.
func (s *Service) Join(ctx context.Context, w *Who, c Client, token string) (string, error) {
	if err := s.take(ctx, limits.NewKey(perClient, "client", limits.Client(c.Address))); err != nil {
		return "", err
	}
	return s.renewing(ctx, w, c, "invitation.accept", w.Session.AMR, w.Session.SecondFactor, func(tx *store.Tx) error {
		v, err := s.takeInvitation(ctx, tx, token)
		if err != nil {
			return err
		}
		if v.Email != w.User.Email {
			return fault.New(fault.Denied, "this invitation is for somebody else's address: sign out first")
		}
		if err := tx.LockUser(ctx, w.User.ID); err != nil {
			return err
		}
		if err := tx.AcceptClaims(ctx, w.User.ID, v.Org, v.Roles...); err != nil { // who invited him gives them
			return err
		}
		err = tx.CreateMembership(ctx, &model.Membership{Org: v.Org, User: w.User.ID, Email: w.User.Email, Roles: v.Roles})
		if fault.Of(err) == fault.Conflict {
			return fault.New(fault.Conflict, "you are a member already")
		}
		return err
	})
}

func (s *Service) takeInvitation(ctx context.Context, tx *store.Tx, token string) (*model.Invitation, error) {
	v, err := tx.GetInvitationByHash(ctx, tokenHash(token), s.Now())
	if err != nil {
		return nil, over(err, ErrLink)
	}
	return v, over(tx.DeleteInvitation(ctx, v.ID), ErrLink)
}
