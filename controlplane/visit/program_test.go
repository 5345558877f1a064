package visit

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/accesstoken"
	"github.com/warrenedge/warren/shared/policy"
)

// What a program of a user is given is his, for one host, with a secret that it is bound to; it is for who has signed in.
func TestProgramToken(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	f.guard(func(p *model.Policy) { p.SignIn = policy.SignIn{Groups: []string{"staff"}} })
	alice := access.Principal{Session: f.session.ID, User: f.user.ID, Name: f.user.Email}
	shown, expires, err := f.ProgramToken(ctx, alice, "acme", host)
	if err != nil {
		t.Fatal(err)
	}
	token, secret, ok := accesstoken.Split(shown)
	if !ok || time.Until(expires) > accesstoken.Life {
		t.Fatalf("%q until %s", shown, expires)
	}
	keys, err := f.KeySet()
	if err != nil || len(keys) == 0 {
		t.Fatal(err)
	}
	c, _, err := f.verify(f.World.Get(), f.World.Get().Node(f.node), token)
	if err != nil || c.Use != accesstoken.UseProgram || c.Check(cluster, host, secret, time.Now()) != nil || c.Subject != f.user.ID.String() || c.Session != f.session.ID.String() {
		t.Errorf("%+v, %v", c, err)
	}
	if _, is := f.renew(token); is != codes.Unauthenticated {
		t.Errorf("renewed: %s", is)
	}
	for name, tt := range map[string]struct {
		who       access.Principal
		org, host string
		want      fault.Kind
	}{
		"by id":                    {alice, f.org.String(), host, 0},
		"a key":                    {access.Principal{Key: model.APIKeyID{}.New(), User: f.user.ID}, "acme", host, fault.Conflict},
		"nobody":                   {access.Principal{}, "acme", host, fault.Conflict},
		"no host":                  {alice, "acme", "nowhere.example", fault.NotFound},
		"nonsense":                 {alice, "acme", "a b", fault.Invalid},
		"another organization's":   {alice, "acme", "x.example.net", fault.NotFound},
		"of which he is no member": {alice, "other", "x.example.net", fault.NotFound},
	} {
		_, _, err := f.ProgramToken(ctx, tt.who, tt.org, tt.host)
		if (err == nil) != (tt.want == 0) || err != nil && fault.Of(err) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.guard(func(p *model.Policy) { p.SignIn = policy.SignIn{Groups: []string{"ops"}} })
	if _, _, err := f.ProgramToken(ctx, alice, "acme", host); !errors.Is(err, ErrMayNot) {
		t.Errorf("who may not by the policy: %v", err)
	}
	f.tx(func(tx *store.Tx) error { return tx.DeleteSession(ctx, f.session.ID) })
	if _, _, err := f.ProgramToken(ctx, alice, "acme", host); fault.Of(err) != fault.NotFound {
		t.Errorf("of a session that has ended: %v", err)
	}
}
