package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// APIKeySpec is what is written of a key.
type APIKeySpec struct {
	Organization   string     `json:"organization,omitempty" doc:"Organization that the key is good for; the whole cluster if absent"`
	ServiceAccount string     `json:"service_account,omitempty" doc:"Service account of the organization that the key is of: it may what that may"`
	Permissions    []string   `json:"permissions,omitempty" maxItems:"200" doc:"What the key may do. If absent: all that its owner may; a key without an owner, all of the cluster, or, of an organization, all that configures it but people, keys and the audit log"`
	Allow          []string   `json:"allow,omitempty" maxItems:"256" doc:"Networks from which the key is good; from everywhere if absent"`
	ExpiresAt      *time.Time `json:"expires_at,omitempty" doc:"Never, if absent"`
}

// APIKey is a credential of the API.
type APIKey struct {
	Meta
	Organization   string     `json:"organization,omitempty"`
	User           string     `json:"user,omitempty" doc:"Mail address of its owner"`
	ServiceAccount string     `json:"service_account,omitempty" doc:"Its owner"`
	Permissions    []string   `json:"permissions,omitempty"`
	Allow          []string   `json:"allow,omitempty"`
	ExpiresAt      *time.Time `json:"expires_at,omitempty"`
	UsedAt         *time.Time `json:"used_at,omitempty" readOnly:"true" doc:"When the key was last used, to the minute"`
	UsedFrom       string     `json:"used_from,omitempty" readOnly:"true" doc:"From which address"`
	Secret         string     `json:"secret,omitempty" readOnly:"true" doc:"The key itself; shown once, when it is made"`
}

// apiKeys is all API keys, of the cluster and of all organizations.
func apiKeys(a *Admin) *Collection[model.APIKey, struct{}, APIKey] {
	return keysOf(a, "", func(*call) (store.Keys, error) { return store.Keys{}, nil })
}

// orgAPIKeys is the API keys of an organization, its service accounts' as well.
func orgAPIKeys(a *Admin) *Collection[model.APIKey, struct{}, APIKey] {
	return keysOf(a, "org", func(c *call) (store.Keys, error) { return store.Keys{Org: c.org}, nil })
}

// myAPIKeys is the API keys that the caller, who is a user, owns.
func myAPIKeys(a *Admin) *Collection[model.APIKey, struct{}, APIKey] {
	k := keysOf(a, "", func(c *call) (store.Keys, error) {
		id, err := c.self()
		return store.Keys{User: id}, err
	})
	k.read, k.write = access.MeRead, access.MeWrite
	return k
}

func keysOf(a *Admin, in string, of func(c *call) (store.Keys, error)) *Collection[model.APIKey, struct{}, APIKey] {
	return &Collection[model.APIKey, struct{}, APIKey]{
		a: a, kind: "API key", inOrg: in != "", read: access.KeysRead, write: access.KeysManage,
		byRef: func(c *call, ref string) (*model.APIKey, error) {
			which, err := of(c)
			if err != nil {
				return nil, err
			}
			id, err := (model.APIKeyID{}).Parse(ref)
			if err != nil {
				return apiKeyNamed(c, which, ref)
			}
			v, err := c.tx.GetAPIKey(c, id)
			if err == nil && (!which.Org.IsZero() && v.Org != which.Org || !which.User.IsZero() && v.User != which.User) {
				return nil, notHere("API key")
			}
			return v, err
		},
		list: func(c *call, p store.Page) ([]*model.APIKey, error) {
			which, err := of(c)
			if err != nil {
				return nil, err
			}
			return c.tx.ListAPIKeys(c, which, p)
		},
		after:  func(v *model.APIKey) string { return v.ID.UUID.String() },
		create: func(c *call, v *model.APIKey) error { return c.tx.CreateAPIKey(c, v) },
		update: func(c *call, v *model.APIKey) (bool, error) { return c.tx.UpdateAPIKey(c, v) },
		drop:   func(c *call, v *model.APIKey) error { return c.tx.DeleteAPIKey(c, v.ID) },
		view:   viewAPIKey,
	}
}

func viewAPIKey(c *call, v *model.APIKey) (out APIKey, err error) {
	out = APIKey{Meta: meta(v.ID.String(), v.Name, v.Meta), Permissions: v.Permissions, ExpiresAt: when(v.Expires), UsedAt: when(v.Used)}
	if v.UsedFrom.IsValid() {
		out.UsedFrom = v.UsedFrom.String()
	}
	for _, p := range v.Allow {
		out.Allow = append(out.Allow, p.String())
	}
	if !v.User.IsZero() {
		if out.User, err = c.userName(v.User); err != nil {
			return out, err
		}
	}
	if !v.Account.IsZero() {
		s, err := c.tx.GetServiceAccount(c, v.Account)
		if err != nil {
			return out, err
		}
		out.ServiceAccount = s.Name
	}
	if !v.Org.IsZero() {
		out.Organization, err = c.orgName(v.Org)
	}
	return out, err
}

// apiKeyNamed finds a key by name, whoever it is good for. Names are unique only within the cluster, or each
// organization, and for each owner: one that is not clear must not end the wrong key.
func apiKeyNamed(c *call, of store.Keys, name string) (*model.APIKey, error) {
	named, err := c.tx.ListAPIKeysNamed(c, of, name, 2)
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

// CreateAPIKey makes a key of the cluster or of an organization and returns it with its secret, once. It can do
// nothing that its maker can't, from nowhere else and no longer.
func (a *Admin) CreateAPIKey(ctx context.Context, p access.Principal, name string, s APIKeySpec) (APIKey, error) {
	return a.createKey(ctx, p, name, s, func(c *call, v *model.APIKey) error {
		if s.Organization == "" {
			if !c.p.Can(access.KeysManage, model.OrgID{}) {
				return access.Refused(access.KeysManage)
			}
			if s.ServiceAccount != "" {
				return fault.Field("organization", "missing: service accounts belong to one")
			}
			return nil
		}
		if err := c.organization(s.Organization, access.KeysManage); err != nil {
			return missing("organization", s.Organization, err)
		}
		v.Org = c.org
		if s.ServiceAccount == "" {
			return nil
		}
		account, err := accountByRef(c, s.ServiceAccount)
		if err != nil {
			return missing("service_account", s.ServiceAccount, err)
		}
		v.Account = account.ID
		return nil
	})
}

// CreateMyAPIKey makes a key of the calling user's own and returns it with its secret, once.
func (a *Admin) CreateMyAPIKey(ctx context.Context, p access.Principal, name string, s APIKeySpec) (APIKey, error) {
	return a.createKey(ctx, p, name, s, func(c *call, v *model.APIKey) (err error) {
		if v.User, err = c.self(); err != nil {
			return err
		}
		if v.SecondFactor, err = c.shown(); err != nil || s.Organization == "" {
			return err
		}
		if err := c.organization(s.Organization, access.MeWrite); err != nil {
			return missing("organization", s.Organization, err)
		}
		v.Org = c.org
		return nil
	})
}

func (a *Admin) createKey(ctx context.Context, p access.Principal, name string, s APIKeySpec, owned func(c *call, v *model.APIKey) error) (out APIKey, err error) {
	_, err = a.write(ctx, p, action("API key", "create"), func(c *call) error {
		if err := c.fresh(); err != nil {
			return err
		}
		v := &model.APIKey{Name: name}
		if err := owned(c, v); err != nil {
			return err
		}
		if err := fillKey(v, s); err != nil {
			return err
		}
		if err := c.bound(v); err != nil {
			return err
		}
		secret := newKey(v)
		if err := v.Validate(); err != nil {
			return err
		}
		may, err := keyPrincipal(c, c.tx, v)
		if err != nil {
			return err
		}
		if err := c.give(may.Grants); err != nil {
			return err
		}
		if err := c.tx.CreateAPIKey(c, v); err != nil {
			return err
		}
		stored, err := c.tx.GetAPIKey(c, v.ID)
		if err != nil {
			return err
		}
		c.did(named(v))
		out, err = viewAPIKey(c, stored)
		out.Secret = secret
		return err
	})
	return out, err
}

// fillKey brings what is written of a key, but for whose it is, into its one form.
func fillKey(v *model.APIKey, s APIKeySpec) (err error) {
	if v.Expires, err = expiry(s.ExpiresAt, time.Now()); err != nil {
		return err
	}
	if v.Permissions, err = permissions(s.Permissions, v.Org.IsZero()); err != nil {
		return err
	}
	v.Allow, err = networks(s.Allow)
	return err
}

// APIKeyChange is what can be changed of a key. Whose it is, what it may and from where can't, nor its secret: make
// another key.
type APIKeyChange struct {
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Never, if absent"`
}

// ChangeAPIKey makes a key end when wanted, and have another name unless that is "". It makes no key: the secret
// of one that was made unasked would be lost. Nor does it make one live longer that can do more than the caller.
func (a *Admin) ChangeAPIKey(ctx context.Context, p access.Principal, org, ref, name string, s APIKeyChange) (out APIKey, changed bool, err error) {
	k := a.APIKeys
	if org != "" {
		k = a.OrgAPIKeys
	}
	_, err = k.do(ctx, p, org, "update", func(c *call) error {
		out, changed, err = changeAPIKey(c, k, ref, name, s)
		return err
	})
	return out, changed, err
}

func changeAPIKey(c *call, k *Collection[model.APIKey, struct{}, APIKey], ref, name string, s APIKeyChange) (out APIKey, changed bool, err error) {
	if err := c.fresh(); err != nil {
		return out, false, err
	}
	v, err := k.byRef(c, ref)
	if fault.Of(err) == fault.NotFound {
		return out, false, fault.New(fault.NotFound, "no such API key: it has to be created first, which shows its secret")
	} else if err != nil {
		return out, false, err
	}
	may, err := keyPrincipal(c, c.tx, v)
	if err != nil && fault.Of(err) != fault.Denied { // of one who is disabled
		return out, false, err
	}
	if err := c.give(may.Grants); err != nil {
		return out, false, err
	}
	if name != "" {
		v.Name = name
	}
	if s.ExpiresAt == nil || !s.ExpiresAt.Equal(v.Expires) { // one that has ended may be renamed
		if v.Expires, err = expiry(s.ExpiresAt, time.Now()); err != nil {
			return out, false, err
		}
	}
	if err := c.bound(v); err != nil {
		return out, false, err
	}
	if err := v.Validate(); err != nil {
		return out, false, err
	}
	if changed, err = c.tx.UpdateAPIKey(c, v); err != nil {
		return out, false, err
	}
	if changed {
		k.did(c, "update", v)
	}
	out, err = k.shown(c, v.ID.String())
	return out, changed, err
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
