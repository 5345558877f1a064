// Package signin finds out who somebody is, and begins the session that says so.
//
// All that somebody is told who is refused is that he is: whether there is such a user, which of two secrets was wrong
// and what a provider has said stays here. What is under way is a flow, a row that is found by the hash of a token and
// good once. Nothing here knows of HTTP but package web, which shows it.
package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/oidc"
	"github.com/warrenedge/warren/controlplane/signin/passkey"
	"github.com/warrenedge/warren/controlplane/signin/password"
	"github.com/warrenedge/warren/controlplane/store"
)

// Lives of what is under way.
const (
	secondFactorLife = 10 * time.Minute
	linkLife         = 30 * time.Minute
	setupLife        = 24 * time.Hour
	codeAttempts     = 5 // of a second factor, then the password is asked for again
)

// How often something may be tried.
var (
	perAccountAndClient = limits.Rate{Every: 12 * time.Second, Burst: 5}
	perClient           = limits.Rate{Every: time.Second, Burst: 60}      // a whole office may stand behind one address
	perAccount          = limits.Rate{Every: 15 * time.Second, Burst: 40} // whoever has many addresses; the user himself still gets in by passkey
	perReset            = limits.Rate{Every: 5 * time.Minute, Burst: 3}
)

// Sealer seals secrets for their rows.
type Sealer interface {
	Seal(plain []byte, row string) ([]byte, error)
	Open(sealed []byte, row string) ([]byte, error)
}

// Event is something that is told to the audit log.
type Event struct {
	Action  string       // "sign-in", "password.change", …
	User    model.UserID // zero: not known
	Client  Client
	Refused string // why; "": it was done
	Detail  string
}

// Options are what sign-in stands on.
type Options struct {
	Store   *store.Store
	Admin   *admin.Admin
	Sealer  Sealer
	URL     *url.URL // of the pages, from the settings: links lead nowhere else
	Hasher  *password.Hasher
	Limiter *limits.Limiter
	Mail    *mail.Mailer
	OIDC    *oidc.Client
	Audit   func(context.Context, Event)
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger
	Reg     prometheus.Registerer
}

// Service signs people in. Safe for concurrent use.
type Service struct {
	Options
	passkeys *passkey.Ceremonies // nil: the URL can't have any
	resets   chan reset
	m        metrics
}

type metrics struct {
	signIns *prometheus.CounterVec
}

// New makes a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Service{Options: o, resets: make(chan reset, resetQueue), m: metrics{
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_signin_total", Help: "Attempts to sign in, by way and result."}, []string{"way", "result"}),
	}}
	if o.Reg != nil {
		o.Reg.MustRegister(s.m.signIns)
	}
	var err error
	if s.passkeys, err = passkey.New(o.URL); err != nil {
		o.Log.Info("no passkeys", "err", err)
	}
	return s
}

// String names the task.
func (s *Service) String() string { return "sign-in" }

// Client is the other end of a call.
type Client struct {
	Address   netip.Addr
	UserAgent string
}

// Who is a user who is signed in.
type Who struct {
	Session *model.Session
	User    *model.User
}

// Outcome is how far a sign-in has come: there is a session, or a second factor is asked for.
type Outcome struct {
	Token   string // of a session
	Expires time.Time
	Flow    string // of the second factor
	Next    string // where the browser wanted to go
}

// TooMany is the error of who has tried too often.
type TooMany struct{ Wait time.Duration }

func (e *TooMany) Error() string {
	return fmt.Sprintf("too many attempts, try again in %s", max(e.Wait.Round(time.Second), time.Second))
}

// What somebody is told.
var (
	ErrWrong    = fault.New(fault.Denied, "the address or the password is wrong")
	ErrCode     = fault.New(fault.Denied, "the code is wrong, or was used already")
	ErrOver     = fault.New(fault.NotFound, "this is over, or was used already: begin again")
	ErrLink     = fault.New(fault.NotFound, "this link is over, or was used already")
	ErrSelf     = fault.New(fault.Denied, "the password is wrong")
	ErrPasskeys = fault.New(fault.Conflict, "there are no passkeys here: the control plane's url has an address instead of a name")
)

// Who returns who is signed in with a session's token.
func (s *Service) Who(ctx context.Context, token string) (*Who, error) {
	v, u, err := s.Admin.FindSession(ctx, token)
	if err != nil {
		return nil, err
	}
	return &Who{v, u}, nil
}

// SignOut ends a session.
func (s *Service) SignOut(ctx context.Context, w *Who, c Client) error {
	_, err := s.Store.Tx(ctx, actor(w.User.ID), func(tx *store.Tx) error { return s.Admin.EndSession(ctx, tx, w.Session) })
	if fault.Of(err) == fault.NotFound {
		return nil
	}
	if err == nil {
		s.tell(ctx, Event{Action: "sign-out", User: w.User.ID, Client: c})
	}
	return err
}

func (s *Service) tell(ctx context.Context, e Event) {
	if s.Audit != nil {
		s.Audit(ctx, e)
	}
}

// attempt tells how a sign-in went. That a session began is in the audit log with the session.
func (s *Service) attempt(ctx context.Context, way string, u model.UserID, c Client, err error) {
	result := "ok"
	if err != nil {
		result = "refused"
		if k := fault.Of(err); k == fault.Unavailable || k == fault.Internal {
			result = "failed"
		}
		s.tell(ctx, Event{Action: "sign-in", User: u, Client: c, Detail: way, Refused: fault.Of(err).String()})
	}
	s.m.signIns.WithLabelValues(way, result).Inc()
}

func (s *Service) take(ctx context.Context, keys ...limits.Key) error {
	if wait := s.Limiter.Take(ctx, keys...); wait > 0 {
		return &TooMany{wait}
	}
	return nil
}

func actor(u model.UserID) string { return "user:" + u.String() }

// newToken makes the token of a flow or a link.
func newToken() (token string, hash []byte) {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails since Go 1.24
	token = base64.RawURLEncoding.EncodeToString(b)
	return token, tokenHash(token)
}

// tokenHash is what is kept of a token. Of one that is no token it is of nothing that is kept.
func tokenHash(token string) []byte {
	b, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSpace(token))
	if err != nil || len(b) != 32 {
		b = []byte("no token")
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// begin begins a flow.
func (s *Service) begin(ctx context.Context, kind model.FlowKind, u model.UserID, data []byte, life time.Duration) (string, error) {
	token, hash := newToken()
	_, err := s.Store.Tx(ctx, "sign-in", func(tx *store.Tx) error {
		return tx.CreateFlow(ctx, hash, &model.Flow{Kind: kind, User: u, Data: data, Expires: s.Now().Add(life)})
	})
	return token, err
}

// over turns a flow or link that is not there into what somebody is told.
func over(err, say error) error {
	if fault.Of(err) == fault.NotFound {
		return say
	}
	return err
}

// link is an address of ours with a token. It is made from the settings, whatever a browser says our name is.
func (s *Service) link(path, token string) string {
	u := *s.URL
	u.Path, u.RawQuery = path, url.Values{"token": {token}}.Encode()
	return u.String()
}
