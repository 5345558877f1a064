package visit

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/typedcode"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/policy"
)

const (
	mailCodeLife  = 10 * time.Minute
	mailCodeTries = 5
)

// How often codes may be asked for and typed.
var (
	perAddress = limits.Rate{Every: 2 * time.Minute, Burst: 5}   // nobody's mailbox is filled
	perClient  = limits.Rate{Every: 10 * time.Second, Burst: 30} // a whole office may stand behind one address
	perHost    = limits.Rate{Every: time.Second, Burst: 300}     // of all clients together
	perTyping  = limits.Rate{Every: 2 * time.Second, Burst: 60}
)

// What somebody is told about a code.
var (
	ErrCode     = fault.New(fault.Denied, "the code is wrong")
	ErrCodeOver = fault.New(fault.NotFound, "this code is over, or was used already: ask for another one")
)

// SendCode mails a code to an address that may visit, and returns what the code is found by. Whether the address may is
// not told: to others nothing is mailed, and whatever they type is wrong. The same is done for both.
func (e *Entrance) SendCode(ctx context.Context, w Wanted, from netip.Addr, address string) (flow string, err error) {
	to, err := policy.CanonicalMail(strings.TrimSpace(address))
	if err != nil {
		return "", fault.Field("email", "%v", err)
	}
	m := e.World.Get()
	svc := serviceAt(m, w.Host)
	if svc == nil {
		return "", ErrNoRoom
	}
	p, err := policyOf(m, svc)
	if err != nil {
		return "", err
	}
	if p == nil || !p.Ways().Has(policy.WayMail) {
		return "", ErrMayNot
	}
	if err := e.take(ctx, limits.NewKey(perAddress, "visit-mail", to), limits.NewKey(perClient, "visit-client", limits.Client(from)),
		limits.NewKey(perHost, "visit-host", w.Host)); err != nil {
		e.calls.WithLabelValues("mail", "limited").Inc()
		return "", err
	}
	code, id := typedcode.New(), model.MailCodeID{}.New()
	v := &store.MailCode{ID: id, Hash: codeHash(id, code), Mail: to, Host: w.Host, Binding: w.Binding}
	allowed := p.MailAllowed(to)
	if !allowed {
		v.Hash = make([]byte, sha256.Size)
		_, _ = rand.Read(v.Hash) // of no code at all
	}
	if _, err := e.Store.Tx(ctx, "visit:mail", func(tx *store.Tx) error { return tx.CreateMailCode(ctx, v) }); err != nil {
		return "", err
	}
	result := "not_allowed"
	if allowed {
		result = "ok"
		if err := e.Mail.Send(codeMail(to, w.Authority, from, code)); err != nil { // not told: it would tell that he may
			e.Log.Warn("code of a visitor not mailed", "service", svc.ID, "err", err)
			result = "failed"
		}
	}
	e.calls.WithLabelValues("mail", result).Inc()
	return id.String(), nil
}

func codeMail(to, authority string, from netip.Addr, code string) mail.Message {
	return mail.Message{To: to, Subject: "Your code for " + authority, Text: fmt.Sprintf(
		"Somebody, from %s, wants to visit https://%s with this mail address.\n\nIf that is you, type this code within %d minutes:\n\n    %s-%s\n\nIf not, there is nothing to do. Give the code to nobody.\n",
		from, authority, int(mailCodeLife.Minutes()), code[:4], code[4:])}
}

// EnterMailed returns where to send the browser of who has typed the code that was mailed to him. A code is good once, in
// the browser that has asked for it.
func (e *Entrance) EnterMailed(ctx context.Context, w Wanted, from netip.Addr, flow, code string) (to string, err error) {
	if err := e.take(ctx, limits.NewKey(perTyping, "visit-code", limits.Client(from))); err != nil {
		return "", err
	}
	id, err := model.MailCodeID{}.Parse(flow)
	if err != nil {
		return "", ErrCodeOver
	}
	m := e.World.Get()
	svc := serviceAt(m, w.Host)
	if svc == nil {
		return "", ErrNoRoom
	}
	p, err := policyOf(m, svc)
	if err != nil {
		return "", err
	}
	var wrong error
	access := rand.Text()
	_, err = e.Store.Tx(ctx, "visit:mail", func(tx *store.Tx) error {
		wrong = nil
		v, err := tx.TryMailCode(ctx, id, mailCodeLife) // nobody else tries the same one until this has ended
		if fault.Of(err) == fault.NotFound {
			wrong = ErrCodeOver
			return nil
		} else if err != nil {
			return err
		}
		if wrong = judge(v, w, p, code); wrong != nil {
			return nil // the attempt counts
		}
		return e.begin(ctx, tx, v, svc, from, access)
	})
	if err == nil {
		err = wrong
	}
	switch {
	case err == nil:
		e.calls.WithLabelValues("code", "ok").Inc()
	case wrong != nil:
		e.calls.WithLabelValues("code", "wrong").Inc()
	default:
		e.calls.WithLabelValues("code", "failed").Inc()
	}
	if err != nil {
		return "", err
	}
	return w.back(access), nil
}

// judge says why a code is not good; nil: it is.
func judge(v *store.MailCode, w Wanted, p *policy.Compiled, code string) error {
	if !v.Good || v.Tries > mailCodeTries || v.Host != w.Host || v.Binding != w.Binding {
		return ErrCodeOver
	}
	right := subtle.ConstantTimeCompare(v.Hash, codeHash(v.ID, typedcode.Canonical(code))) == 1
	if right && p != nil && p.MailAllowed(v.Mail) {
		return nil
	}
	if v.Tries == mailCodeTries {
		return ErrCodeOver
	}
	return ErrCode
}

// begin lets somebody visit from now on.
func (e *Entrance) begin(ctx context.Context, tx *store.Tx, v *store.MailCode, svc *model.Service, from netip.Addr, code string) error {
	if err := tx.DeleteMailCode(ctx, v.ID); err != nil {
		return err
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	wants, err := tx.GetSecurity(ctx, svc.Org)
	if err != nil {
		return err
	}
	life := model.VisitorLife
	if wants.MaxSession > 0 {
		life = min(life, wants.MaxSession)
	}
	who := &model.Visitor{ID: model.VisitorID{}.New(), Org: svc.Org, Service: svc.ID, Mail: v.Mail, Address: from, Expires: now.Add(life)}
	if err := tx.CreateVisitor(ctx, who); err != nil {
		return err
	}
	entry := audit.Entry{Actor: mailSubject + v.Mail, Action: "visitor.begin", Organization: svc.Org.String(), Object: who.ID.String(), ObjectName: v.Mail, Result: audit.Done, Detail: v.Host}
	if from.IsValid() {
		entry.Address = from.String()
	}
	tx.Audit(entry)
	return tx.CreateAccessCode(ctx, code, store.AccessCode{Host: v.Host, Binding: v.Binding, Session: who.ID.UUID, Mail: v.Mail})
}

// visitorClaims are what is true of who was mailed a code. His row is held until the transaction ends: who removes it
// comes before this or takes back what this has given.
func (s *Server) visitorClaims(ctx context.Context, tx *store.Tx, id model.VisitorID, svc *model.Service) (*accesstoken.Claims, error) {
	v, err := tx.ShareVisitor(ctx, id)
	if err != nil {
		return nil, err
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return nil, err
	}
	end := accesstoken.At(v.Expires)
	if v.Service != svc.ID || end <= accesstoken.At(now) {
		return nil, fault.New(fault.NotFound, "visit is over")
	}
	p, err := policyOf(s.World.Get(), svc)
	if err != nil {
		return nil, err
	}
	if p == nil || !p.MailAllowed(v.Mail) {
		return nil, ErrMayNot
	}
	c := &accesstoken.Claims{
		Issuer: s.Cluster, Subject: mailSubject + v.Mail, Session: v.ID.String(), Org: svc.Org.String(), Email: v.Mail, Methods: []string{"otp"},
	}
	c.Issue(now)
	c.Expires = min(c.Expires, end)
	return c, nil
}

func (e *Entrance) take(ctx context.Context, keys ...limits.Key) error {
	if wait := e.Limiter.Take(ctx, keys...); wait > 0 {
		return &signin.TooMany{Wait: wait}
	}
	return nil
}

func codeHash(id model.MailCodeID, code string) []byte {
	sum := sha256.Sum256([]byte(id.String() + " " + code))
	return sum[:]
}
