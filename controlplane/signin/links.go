package signin

import (
	"context"
	"fmt"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/store"
)

// Where links lead.
const (
	PathSetup      = "/setup"
	PathReset      = "/reset/new"
	PathInvitation = "/invitation"
	PathDevice     = "/device"
)

// resetQueue bounds how many wait who have forgotten their passwords; who comes beyond is told the same and gets no mail.
const resetQueue = 64

var (
	noTime time.Time
	now    = time.Now
)

// reset is somebody who says that he has forgotten his password.
type reset struct {
	email  string
	client Client
}

// ForgotPassword mails a link to whoever has this address, if anybody has. What is done about it is done later: neither
// the answer nor how long it takes says whether there is such a user.
func (s *Service) ForgotPassword(ctx context.Context, c Client, email string) error {
	if err := s.take(ctx, limits.NewKey(perReset, "reset", email), limits.NewKey(perClient, "client", limits.Client(c.Address))); err != nil {
		return err
	}
	select {
	case s.resets <- reset{email, c}:
	default:
		s.Log.Warn("too many resets of passwords wait, one is dropped")
	}
	return nil
}

// Run does what was put off.
func (s *Service) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-s.resets:
			call, cancel := context.WithTimeout(ctx, 10*time.Second)
			if err := s.mailReset(call, r); err != nil && ctx.Err() == nil {
				s.Log.Error("reset of a password not mailed", "err", err)
			}
			cancel()
		}
	}
}

func (s *Service) mailReset(ctx context.Context, r reset) error {
	a, err := s.account(ctx, r.email)
	if err != nil || a.user == nil {
		return err
	}
	link, err := s.resetLink(ctx, a.user.ID)
	if err != nil {
		return err
	}
	s.tell(ctx, Event{Action: "password.reset-asked", User: a.user.ID, Client: r.client})
	return s.Mail.Send(mail.Message{To: a.user.Email, Subject: "Reset your Warren password", Text: fmt.Sprintf(
		"Somebody, from %s, asked for a new password of your account at %s.\n\nIf that was you, choose one here within %d minutes:\n\n%s\n\nIf not, there is nothing to do: the password stays as it is.\n",
		r.client.Address, s.URL.Host, int(linkLife.Minutes()), link)})
}

// resetLink makes the one link with which a user chooses another password.
func (s *Service) resetLink(ctx context.Context, u model.UserID) (string, error) {
	token, hash := newToken()
	_, err := s.Store.Tx(ctx, "sign-in", func(tx *store.Tx) error {
		if err := tx.DropFlows(ctx, model.FlowReset, u); err != nil {
			return err
		}
		return tx.CreateFlow(ctx, hash, &model.Flow{Kind: model.FlowReset, User: u, Expires: s.Now().Add(linkLife)})
	})
	return s.link(PathReset, token), err
}

// ResetLink makes a link with which a user chooses another password, for an administrator to give him.
func (s *Service) ResetLink(ctx context.Context, p access.Principal, ref string) (link string, expires time.Time, err error) {
	if !p.Can(access.UsersManage, model.OrgID{}) {
		return "", noTime, access.Refused(access.UsersManage)
	}
	var u *model.User
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		if id, perr := (model.UserID{}).Parse(ref); perr == nil {
			u, err = tx.GetUser(ctx, id)
			return err
		}
		email, perr := model.CanonicalEmail(ref)
		if perr != nil {
			return fault.New(fault.NotFound, "no such user")
		}
		u, err = tx.GetUserByEmail(ctx, email)
		return err
	})
	if err != nil {
		return "", noTime, err
	}
	if link, err = s.resetLink(ctx, u.ID); err != nil {
		return "", noTime, err
	}
	s.tell(ctx, Event{Action: "password.reset-link", User: u.ID, Client: Client{Address: p.Address}, Detail: "by " + p.Actor()})
	return link, s.Now().Add(linkLife), nil
}

// CheckReset says for whom a link is.
func (s *Service) CheckReset(ctx context.Context, c Client, token string) (u *model.User, err error) {
	if err := s.take(ctx, limits.NewKey(perClient, "client", limits.Client(c.Address))); err != nil {
		return nil, err
	}
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		f, err := tx.GetFlow(ctx, tokenHash(token), model.FlowReset, s.Now())
		if err != nil {
			return err
		}
		u, err = tx.GetUser(ctx, f.User)
		return err
	})
	return u, over(err, ErrLink)
}

// Reset gives a user another password, and ends all that was begun with the one before. A second factor is asked for at
// the next sign-in as ever.
func (s *Service) Reset(ctx context.Context, c Client, token, text string) error {
	u, err := s.CheckReset(ctx, c, token)
	if err != nil {
		return err
	}
	hash, err := s.newHash(ctx, text, u.Email, u.Name)
	if err != nil {
		return err
	}
	_, err = s.Store.Tx(ctx, actor(u.ID), func(tx *store.Tx) error {
		if _, err := tx.TakeFlow(ctx, tokenHash(token), model.FlowReset, s.Now()); err != nil {
			return over(err, ErrLink)
		}
		return s.replacePassword(ctx, tx, u.ID, hash, model.SessionID{})
	})
	if err == nil {
		s.tell(ctx, Event{Action: "password.reset", User: u.ID, Client: c})
	}
	return err
}

// replacePassword writes another password; sessions but one, and links that are on their way, end with the old one.
func (s *Service) replacePassword(ctx context.Context, tx *store.Tx, u model.UserID, hash string, but model.SessionID) error {
	if err := tx.LockUser(ctx, u); err != nil {
		return err
	}
	if err := tx.SetPassword(ctx, u, hash); err != nil {
		return err
	}
	for _, kind := range []model.FlowKind{model.FlowReset, model.FlowSecondFactor} {
		if err := tx.DropFlows(ctx, kind, u); err != nil {
			return err
		}
	}
	return s.Admin.EndSessions(ctx, tx, u, but)
}
