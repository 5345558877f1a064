package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// keyPrefix starts every key, so that scanners of leaked secrets know them: wrn_key_<id>_<secret>.
const keyPrefix = "wrn_"

// sessionPrefix starts every token of a user's session.
const sessionPrefix = "wrn_session_"

const (
	callerFresh = 3 * time.Second  // what was removed or disabled works no longer than this
	callerStale = 15 * time.Minute // while the database is away
	callerMost  = 10_000
	usedEvery   = time.Minute // when something was last used is written no more often
)

// ErrKey is all that a caller with a wrong key is told.
var ErrKey = fault.New(fault.Denied, "no valid API key")

// ErrSession is all that a caller with a wrong session is told.
var ErrSession = fault.New(fault.Denied, "not signed in")

// callers lets a replica know its callers for a moment, and for a while when the database is away: status and
// snapshots must be seen then above all. It is in the memory of the replica and nowhere else: what others could
// write would sign people in.
type callers struct {
	mu      sync.Mutex
	entries map[[32]byte]*known // by hash of the whole text; never more than callerMost, then all are forgotten
}

// known is a credential that was found good. It is not changed once it is in the map.
type known struct {
	p       access.Principal
	checked time.Time
	expires time.Time // zero: never
	allow   []netip.Prefix
	used    time.Time // as far as the database knows
}

func (k *known) good(now time.Time, from netip.Addr) bool {
	return (k.expires.IsZero() || now.Before(k.expires)) && k.from(from)
}

func (k *known) from(addr netip.Addr) bool {
	if len(k.allow) == 0 {
		return true
	}
	addr = addr.Unmap().WithZone("")
	for _, p := range k.allow {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Authenticate finds the caller of a key, who calls from an address.
func (a *Admin) Authenticate(ctx context.Context, text string, from netip.Addr) (access.Principal, error) {
	if strings.HasPrefix(text, sessionPrefix) { // of a command line that a user has signed in
		return a.AuthenticateSession(ctx, text, from)
	}
	id, secret, err := parseKey(text)
	if err != nil {
		return access.Principal{}, ErrKey
	}
	sum := sha256.Sum256(secret)
	return a.identify(ctx, text, from, ErrKey, func(tx *store.Tx) (*known, error) {
		v, err := tx.GetAPIKey(ctx, id)
		if err != nil {
			return nil, err
		}
		if subtle.ConstantTimeCompare(sum[:], v.Hash) != 1 {
			return nil, ErrKey
		}
		p, err := keyPrincipal(ctx, tx, v)
		return &known{p: p, expires: v.Expires, allow: v.Allow, used: v.Used}, err
	})
}

// AuthenticateSession finds the user of a session's token, who calls from an address.
func (a *Admin) AuthenticateSession(ctx context.Context, token string, from netip.Addr) (access.Principal, error) {
	hash, err := SessionHash(token)
	if err != nil {
		return access.Principal{}, ErrSession
	}
	return a.identify(ctx, token, from, ErrSession, func(tx *store.Tx) (*known, error) {
		v, err := tx.GetSessionByHash(ctx, hash)
		if err != nil {
			return nil, err
		}
		if v.Ended(time.Now()) {
			return nil, ErrSession
		}
		p, err := sessionPrincipal(ctx, tx, v)
		expires := v.Seen.Add(model.SessionIdle)
		if v.Expires.Before(expires) {
			expires = v.Expires
		}
		return &known{p: p, expires: expires, used: v.Seen}, err
	})
}

// identify finds the caller of a credential: what was found a moment ago, or what find reads.
func (a *Admin) identify(ctx context.Context, text string, from netip.Addr, wrong error, find func(tx *store.Tx) (*known, error)) (access.Principal, error) {
	slot := sha256.Sum256([]byte(text))
	now := time.Now()
	a.callers.mu.Lock()
	have := a.callers.entries[slot]
	a.callers.mu.Unlock()
	if have != nil && now.Sub(have.checked) < callerFresh {
		if !have.good(now, from) {
			return access.Principal{}, wrong
		}
		return have.at(from), nil
	}
	var found *known
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		found, err = find(tx)
		return err
	})
	switch {
	case err == nil:
	case fault.Of(err) == fault.NotFound || fault.Of(err) == fault.Denied:
		a.forget(slot)
		return access.Principal{}, wrong
	case fault.Of(err) == fault.Unavailable && have != nil && have.good(now, from) && now.Sub(have.checked) < callerStale:
		return have.at(from), nil
	default:
		return access.Principal{}, err
	}
	if !found.good(now, from) {
		return access.Principal{}, wrong
	}
	found.checked = now
	if now.Sub(found.used) >= usedEvery {
		a.use(ctx, found.p, now, from)
		found.used = now
	}
	a.remember(slot, found)
	return found.at(from), nil
}

func (k *known) at(from netip.Addr) access.Principal {
	p := k.p
	p.Address = from.Unmap().WithZone("")
	return p
}

// use writes when a credential was used. Nobody is refused because that fails: a database that takes no writes
// lets people look.
func (a *Admin) use(ctx context.Context, p access.Principal, now time.Time, from netip.Addr) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _ = a.store.Tx(ctx, p.Actor(), func(tx *store.Tx) error {
		if !p.Session.IsZero() {
			return tx.TouchSession(ctx, p.Session, now.UTC(), from)
		}
		return tx.TouchAPIKey(ctx, p.Key, now.UTC(), from)
	})
}

func (a *Admin) remember(slot [32]byte, k *known) {
	a.callers.mu.Lock()
	defer a.callers.mu.Unlock()
	if len(a.callers.entries) >= callerMost {
		clear(a.callers.entries)
	}
	a.callers.entries[slot] = k
}

func (a *Admin) forget(slot [32]byte) {
	a.callers.mu.Lock()
	defer a.callers.mu.Unlock()
	delete(a.callers.entries, slot)
}

// forgetUser lets this replica ask anew about a user at once; the others do within callerFresh.
func (a *Admin) forgetUser(id model.UserID) {
	a.callers.mu.Lock()
	defer a.callers.mu.Unlock()
	for slot, k := range a.callers.entries {
		if k.p.User == id {
			delete(a.callers.entries, slot)
		}
	}
}

// keyPrincipal is who a key stands for and what he may do, as the rows say now.
func keyPrincipal(ctx context.Context, tx *store.Tx, v *model.APIKey) (access.Principal, error) {
	p := access.Principal{Key: v.ID, User: v.User, Account: v.Account, Name: v.Name}
	switch {
	case !v.User.IsZero():
		u, g, err := userGrants(ctx, tx, v.User)
		if err != nil {
			return p, err
		}
		err = enough(ctx, tx, v.User, g, func(r model.Security) bool { return !r.RequireSecondFactor || !v.SecondFactor.IsZero() })
		if err != nil {
			return p, err
		}
		p.Name, p.Grants = u.Email, g.Narrow(v.Org, v.Permissions)
	case !v.Account.IsZero():
		s, err := tx.GetServiceAccount(ctx, v.Account)
		if err != nil {
			return p, err
		}
		if !s.Disabled.IsZero() {
			return p, ErrKey
		}
		roles, err := tx.GrantsOfServiceAccount(ctx, v.Account)
		if err != nil {
			return p, err
		}
		p.Name, p.Grants = s.Name, access.Collect(roles).Narrow(v.Org, v.Permissions)
	case v.Permissions == nil:
		p.Grants = access.Unscoped(v.Org)
	default:
		p.Grants = access.Scoped(v.Org, v.Permissions)
	}
	return p, nil
}

func sessionPrincipal(ctx context.Context, tx *store.Tx, v *model.Session) (access.Principal, error) {
	u, g, err := userGrants(ctx, tx, v.User)
	if err != nil {
		return access.Principal{}, err
	}
	if err := enough(ctx, tx, v.User, g, func(r model.Security) bool { return r.Met(v, time.Now()) }); err != nil {
		return access.Principal{}, err
	}
	return access.Principal{Session: v.ID, User: v.User, Name: u.Email, Grants: g}, nil
}

// enough takes away what a user may in organizations that want more of a session, or of the one that a key was made with: it is
// as if he were no member.
func enough(ctx context.Context, tx *store.Tx, user model.UserID, g access.Grants, met func(model.Security) bool) error {
	rules, err := tx.SecurityOfUser(ctx, user)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if !met(r) {
			delete(g.Orgs, r.Org)
		}
	}
	return nil
}

// userGrants is what a user may do; one who is disabled may nothing.
func userGrants(ctx context.Context, tx *store.Tx, id model.UserID) (*model.User, access.Grants, error) {
	u, err := tx.GetUser(ctx, id)
	if err != nil {
		return nil, access.Grants{}, err
	}
	if !u.Disabled.IsZero() {
		return nil, access.Grants{}, ErrSession
	}
	roles, err := tx.GrantsOfUser(ctx, id)
	return u, access.Collect(roles), err
}

// fresh reads anew what the caller may do, and keeps it so until the transaction ends: whoever gives rights away
// while his own are taken does it before or not at all.
func (c *call) fresh() error {
	if !c.p.User.IsZero() {
		if err := c.tx.ShareUser(c, c.p.User); err != nil {
			return err
		}
		roles, err := c.tx.GrantsOfUser(c, c.p.User)
		if err != nil {
			return err
		}
		if err := c.shareRoles(roles); err != nil {
			return err
		}
	}
	if !c.p.Account.IsZero() {
		roles, err := c.tx.GrantsOfServiceAccount(c, c.p.Account)
		if err != nil {
			return err
		}
		if err := c.shareRoles(roles); err != nil {
			return err
		}
	}
	now, err := c.principal()
	if err != nil {
		if fault.Of(err) == fault.NotFound {
			return ErrKey
		}
		return err
	}
	c.p.Grants = now.Grants
	return nil
}

func (c *call) shareRoles(of []model.Grant) error {
	var ids []model.RoleID
	for _, r := range of {
		ids = append(ids, r.Role)
	}
	return c.tx.ShareRoles(c, ids)
}

func (c *call) principal() (access.Principal, error) {
	if !c.p.Session.IsZero() {
		s, err := c.tx.GetSession(c, c.p.Session)
		if err != nil {
			return access.Principal{}, err
		}
		return sessionPrincipal(c, c.tx, s)
	}
	k, err := c.tx.GetAPIKey(c, c.p.Key)
	if err != nil {
		return access.Principal{}, err
	}
	return keyPrincipal(c, c.tx, k)
}

func parseKey(text string) (model.APIKeyID, []byte, error) {
	rest, ok := strings.CutPrefix(text, keyPrefix)
	if !ok || len(text) > 200 {
		return model.APIKeyID{}, nil, errors.New("no key")
	}
	i := strings.IndexByte(rest, '_') // of "key_"
	j := strings.IndexByte(rest[max(i+1, 0):], '_')
	if i < 0 || j < 0 {
		return model.APIKeyID{}, nil, errors.New("no key")
	}
	id, err := model.APIKeyID{}.Parse(rest[:i+1+j])
	if err != nil {
		return id, nil, err
	}
	secret, err := parseSecret(rest[i+1+j+1:])
	return id, secret, err
}

// parseSecret reads the 256 bits of a credential, which have one spelling.
func parseSecret(text string) ([]byte, error) {
	secret, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil && len(secret) != 32 {
		err = errors.New("length")
	}
	return secret, err
}
