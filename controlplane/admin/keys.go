package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/jointoken"
)

// JoinTokenLife is how long a join token is good.
const JoinTokenLife = 10 * time.Minute

// keyPrefix starts every key, so that scanners of leaked secrets know them: wrn_key_<id>_<secret>.
const keyPrefix = "wrn_"

// APIKeySpec is what is written of a key.
type APIKeySpec struct {
	Organization string     `json:"organization,omitempty" doc:"Organization that the key is good for; the whole cluster if absent"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty" doc:"Never, if absent"`
}

// APIKey is a credential of the API.
type APIKey struct {
	Meta
	Organization string     `json:"organization,omitempty"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	Secret       string     `json:"secret,omitempty" readOnly:"true" doc:"The key itself; shown once, when it is made"`
}

func apiKeys(a *Admin) *Collection[model.APIKey, APIKeySpec, APIKey] {
	return &Collection[model.APIKey, APIKeySpec, APIKey]{
		a: a, kind: "API key", read: access.ClusterAdmin, write: access.ClusterAdmin,
		byRef: func(c *call, ref string) (*model.APIKey, error) {
			if id, err := (model.APIKeyID{}).Parse(ref); err == nil {
				return c.tx.GetAPIKey(c, id)
			}
			return apiKeyNamed(c, ref)
		},
		list:   func(c *call, p store.Page) ([]*model.APIKey, error) { return c.tx.ListAPIKeys(c, p) },
		after:  func(v *model.APIKey) string { return v.ID.UUID.String() },
		create: func(c *call, v *model.APIKey) error { return c.tx.CreateAPIKey(c, v) },
		update: func(c *call, v *model.APIKey) (bool, error) { return c.tx.UpdateAPIKey(c, v) },
		drop:   func(c *call, v *model.APIKey) error { return c.tx.DeleteAPIKey(c, v.ID) },
		view: func(c *call, v *model.APIKey) (out APIKey, err error) {
			out = APIKey{Meta: meta(v.ID.String(), v.Name, v.Meta), ExpiresAt: when(v.Expires)}
			if !v.Org.IsZero() {
				out.Organization, err = c.orgName(v.Org)
			}
			return out, err
		},
	}
}

// apiKeyNamed finds a key by name, whoever it is good for. Names are unique only within the cluster and within
// each organization: one that is not clear must not end the wrong key.
func apiKeyNamed(c *call, name string) (*model.APIKey, error) {
	named, err := c.tx.ListAPIKeysNamed(c, name, 2)
	switch {
	case err != nil:
		return nil, err
	case len(named) == 0:
		return nil, notHere("API key")
	case len(named) > 1:
		return nil, fault.New(fault.Conflict, "several API keys are named %s: say which one by its id", name)
	}
	return named[0], nil
}

// CreateAPIKey makes a key and returns it with its secret, once.
func (a *Admin) CreateAPIKey(ctx context.Context, p access.Principal, name string, s APIKeySpec) (out APIKey, err error) {
	_, err = a.APIKeys.do(ctx, p, "", func(c *call) error {
		v := &model.APIKey{Name: name}
		if s.Organization != "" {
			if err := c.organization(s.Organization); err != nil {
				return missing("organization", s.Organization, err)
			}
			v.Org = c.org
		}
		var err error
		if v.Expires, err = expiry(s.ExpiresAt, time.Now()); err != nil {
			return err
		}
		secret := newKey(v)
		if err := v.Validate(); err != nil {
			return err
		}
		if err := c.tx.CreateAPIKey(c, v); err != nil {
			return err
		}
		stored, err := c.tx.GetAPIKey(c, v.ID)
		if err != nil {
			return err
		}
		out, err = a.APIKeys.view(c, stored)
		out.Secret = secret
		return err
	})
	return out, err
}

// APIKeyChange is what can be changed of a key. Whom it is good for can't, nor its secret: make another key.
type APIKeyChange struct {
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Never, if absent"`
}

// ChangeAPIKey makes a key end when wanted, and have another name unless that is "". It makes no key: the secret
// of one that was made unasked would be lost.
func (a *Admin) ChangeAPIKey(ctx context.Context, p access.Principal, ref, name string, s APIKeyChange) (out APIKey, changed bool, err error) {
	_, err = a.APIKeys.do(ctx, p, "", func(c *call) error {
		v, err := a.APIKeys.byRef(c, ref)
		if fault.Of(err) == fault.NotFound {
			return fault.New(fault.NotFound, "no such API key: it has to be created first, which shows its secret")
		} else if err != nil {
			return err
		}
		if name != "" {
			v.Name = name
		}
		if s.ExpiresAt == nil || !s.ExpiresAt.Equal(v.Expires) { // one that has ended may be renamed
			if v.Expires, err = expiry(s.ExpiresAt, time.Now()); err != nil {
				return err
			}
		}
		if err := v.Validate(); err != nil {
			return err
		}
		if changed, err = c.tx.UpdateAPIKey(c, v); err != nil {
			return err
		}
		out, err = a.APIKeys.shown(c, v.ID.String())
		return err
	})
	return out, changed, err
}

// expiry is the end of a key as it is stored, zero for never. A key that has ended already is a mistake.
func expiry(at *time.Time, now time.Time) (time.Time, error) {
	switch {
	case at == nil:
		return time.Time{}, nil
	case !at.After(now):
		return time.Time{}, fault.Field("expires_at", "%s is over", at.UTC().Format(time.RFC3339))
	}
	return at.UTC().Truncate(time.Microsecond), nil
}

// newKey gives a key its id and hash and returns its text.
func newKey(v *model.APIKey) string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails since Go 1.24
	v.ID = model.APIKeyID{}.New()
	sum := sha256.Sum256(secret)
	v.Hash = sum[:]
	return keyPrefix + v.ID.String() + "_" + base64.RawURLEncoding.EncodeToString(secret)
}

// keyCache lets a replica know its callers for a moment, and for a while when the database is away: status
// and snapshots must be seen then above all.
type keyCache struct {
	mu      sync.Mutex
	entries map[[32]byte]keyEntry // by hash of the whole text
}

type keyEntry struct {
	p       access.Principal
	checked time.Time
	expires time.Time
}

const (
	keyFresh = 5 * time.Second  // a removed key works no longer than this
	keyStale = 15 * time.Minute // while the database is away
	keyMax   = 10_000
)

// ErrKey is all that a caller with a wrong key is told.
var ErrKey = fault.New(fault.Denied, "no valid API key")

// Authenticate finds the caller of a key.
func (a *Admin) Authenticate(ctx context.Context, text string) (access.Principal, error) {
	id, secret, err := parseKey(text)
	if err != nil {
		return access.Principal{}, ErrKey
	}
	slot := sha256.Sum256([]byte(text))
	now := time.Now()
	a.keys.mu.Lock()
	e, known := a.keys.entries[slot]
	a.keys.mu.Unlock()
	valid := known && (e.expires.IsZero() || now.Before(e.expires))
	if valid && now.Sub(e.checked) < keyFresh {
		return e.p, nil
	}
	var v *model.APIKey
	err = a.store.View(ctx, func(tx *store.Tx) (err error) {
		v, err = tx.GetAPIKey(ctx, id)
		return err
	})
	switch {
	case err == nil:
	case fault.Of(err) == fault.NotFound:
		a.forget(slot)
		return access.Principal{}, ErrKey
	case fault.Of(err) == fault.Unavailable && valid && now.Sub(e.checked) < keyStale:
		return e.p, nil
	default:
		return access.Principal{}, err
	}
	sum := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(sum[:], v.Hash) != 1 || !v.Expires.IsZero() && !now.Before(v.Expires) {
		return access.Principal{}, ErrKey
	}
	p := access.Principal{Key: v.ID, Name: v.Name, Org: v.Org}
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	if len(a.keys.entries) >= keyMax {
		clear(a.keys.entries)
	}
	a.keys.entries[slot] = keyEntry{p, now, v.Expires}
	return p, nil
}

func (a *Admin) forget(slot [32]byte) {
	a.keys.mu.Lock()
	defer a.keys.mu.Unlock()
	delete(a.keys.entries, slot)
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
	secret, err := base64.RawURLEncoding.Strict().DecodeString(rest[i+1+j+1:])
	if err == nil && len(secret) != 32 {
		err = errors.New("length")
	}
	return id, secret, err
}

// JoinToken is a right to join. Its text is shown once, when it is made.
type JoinToken struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind" enum:"node,connector"`
	Subject   string     `json:"subject" doc:"Name of the node or connector"`
	ExpiresAt time.Time  `json:"expires_at"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	Token     string     `json:"token,omitempty" doc:"The token itself; shown once, when it is made"`
}

func joinTokens(a *Admin) *Collection[model.JoinToken, struct{}, JoinToken] {
	return &Collection[model.JoinToken, struct{}, JoinToken]{
		a: a, kind: "join token", read: access.ClusterAdmin, write: access.ClusterAdmin,
		byRef: func(c *call, ref string) (*model.JoinToken, error) {
			id, err := model.JoinTokenID{}.Parse(ref)
			if err != nil {
				return nil, notHere("join token")
			}
			return c.tx.GetJoinToken(c, id)
		},
		list:  func(c *call, p store.Page) ([]*model.JoinToken, error) { return c.tx.ListJoinTokens(c, p) },
		after: func(v *model.JoinToken) string { return v.ID.UUID.String() },
		drop:  func(c *call, v *model.JoinToken) error { return c.tx.DeleteJoinToken(c, v.ID) },
		view:  func(_ *call, v *model.JoinToken) (JoinToken, error) { return viewToken(v), nil },
	}
}

func viewToken(v *model.JoinToken) JoinToken {
	out := JoinToken{ID: v.ID.String(), Kind: "node", Subject: v.Name, ExpiresAt: v.Expires.UTC(), UsedAt: when(v.Used), CreatedAt: v.Created.UTC()}
	if v.Node.IsZero() {
		out.Kind = "connector"
	}
	return out
}

// JoinTokenSpec says for whom a token is: a node, or a connector of an organization.
type JoinTokenSpec struct {
	Node         string `json:"node,omitempty" doc:"Node, by name or id"`
	Organization string `json:"organization,omitempty" doc:"Organization of the connector, by name or id"`
	Connector    string `json:"connector,omitempty" doc:"Connector, by name or id"`
}

// CreateJoinToken makes a token; those of the same subject that were not used are void then. An
// organization's key makes them for its connectors.
func (a *Admin) CreateJoinToken(ctx context.Context, p access.Principal, s JoinTokenSpec) (out JoinToken, err error) {
	_, err = a.store.Tx(ctx, p.Actor(), func(tx *store.Tx) error {
		c := &call{Context: ctx, a: a, tx: tx, p: p, names: map[string]string{}}
		v := &model.JoinToken{ID: model.JoinTokenID{}.New()}
		if err := c.subject(v, s); err != nil {
			return err
		}
		t := jointoken.New(a.fingerprint)
		v.Hash, v.Expires = t.Hash(), time.Now().Add(JoinTokenLife).UTC().Truncate(time.Microsecond)
		if err := tx.VoidJoinTokens(c, v.Node, v.Connector); err != nil {
			return err
		}
		if err := tx.CreateJoinToken(c, v); err != nil {
			return err
		}
		stored, err := tx.GetJoinToken(c, v.ID)
		if err != nil {
			return err
		}
		out = viewToken(stored)
		out.Token = t.Reveal()
		return nil
	})
	return out, err
}

func (c *call) subject(v *model.JoinToken, s JoinTokenSpec) error {
	switch {
	case s.Node != "" && s.Connector == "" && s.Organization == "":
		if err := c.p.Check(access.ClusterAdmin); err != nil {
			return err
		}
		n, err := nodeByRef(c, s.Node)
		if err != nil {
			return missing("node", s.Node, err)
		}
		if !n.Revoked.IsZero() {
			return fault.New(fault.Conflict, "node %s is revoked for good: delete it, or take another name", n.Name)
		}
		v.Node, v.Name = n.ID, n.Name
	case s.Node == "" && s.Connector != "" && s.Organization != "":
		if err := c.p.Check(access.OrgWrite); err != nil {
			return err
		}
		if err := c.organization(s.Organization); err != nil {
			return missing("organization", s.Organization, err)
		}
		k, err := connectorByRef(c, s.Connector)
		if err != nil {
			return missing("connector", s.Connector, err)
		}
		if !k.Revoked.IsZero() {
			return fault.New(fault.Conflict, "connector %s is revoked for good: delete it, or take another name", k.Name)
		}
		v.Connector, v.Name = k.ID, k.Name
	case s.Connector != "" && s.Node == "":
		return fault.Field("organization", "missing: want node, or organization and connector")
	case s.Organization != "" && s.Node == "":
		return fault.Field("connector", "missing: want node, or organization and connector")
	default:
		return fault.Field("node", "want node, or organization and connector")
	}
	return nil
}
