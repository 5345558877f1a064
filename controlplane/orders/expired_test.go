package orders

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// An uploaded certificate that nobody has renewed is served until it ends, and then what carries its name beside it; it stays in the list,
// and goes on for names that nothing else carries.
func TestExpiredUploadGivesWay(t *testing.T) {
	db, ctx := storetest.New(t), t.Context()
	tx := func(fn func(*store.Tx) error) {
		t.Helper()
		if _, err := db.Tx(ctx, "test", fn); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	end := now.Add(10 * 24 * time.Hour)
	org, pool := &model.Organization{ID: model.OrgID{}.New(), Name: "o"}, &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	service := func(name, host string) *model.Service {
		return &model.Service{ID: model.ServiceID{}.New(), Org: org.ID, Name: name, Kind: model.HTTP, Hostname: host, Pool: pool.ID}
	}
	cert := func(notAfter time.Time, uploaded bool, names ...string) *model.Certificate {
		return &model.Certificate{
			ID: model.CertificateID{}.New(), Org: org.ID, Names: names, ChainPEM: []byte("x"), SealedKey: []byte("x"), NotBefore: now.Add(-time.Hour), NotAfter: notAfter, Uploaded: uploaded, KeyType: model.ECDSA,
		}
	}
	www, api := service("www", "www.x.test"), service("api", "api.y.test")
	upload, wildcard := cert(end, true, "api.y.test", "www.x.test"), cert(end.Add(60*24*time.Hour), false, "*.x.test", "x.test")
	strange := cert(end.Add(90*24*time.Hour), false, "*.y.test")
	other := &model.Organization{ID: model.OrgID{}.New(), Name: "other"}
	strange.Org = other.ID
	tx(func(tx *store.Tx) error {
		for _, err := range []error{
			tx.CreateOrganization(ctx, org), tx.CreateOrganization(ctx, other), tx.CreatePool(ctx, pool),
			tx.CreateDomain(ctx, &model.Domain{ID: model.DomainID{}.New(), Org: org.ID, Name: "x.test", Pool: pool.ID}),
			tx.CreateDomain(ctx, &model.Domain{ID: model.DomainID{}.New(), Org: org.ID, Name: "y.test", Pool: pool.ID}),
			tx.CreateService(ctx, www), tx.CreateService(ctx, api),
			tx.CreateCertificate(ctx, upload), tx.CreateCertificate(ctx, wildcard), tx.CreateCertificate(ctx, strange),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	p := &Planner{w: &Worker{Options: Options{Store: db}, pauses: &pauses{}}}
	served := func(at time.Time, s *model.Service) model.CertificateID {
		t.Helper()
		if err := p.clean(context.WithoutCancel(ctx), at); err != nil {
			t.Fatal(err)
		}
		b, err := db.Changes(ctx, 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		m := model.Empty().Apply(b)
		return m.CertificateFor(m.Service(s.ID)).ID
	}
	if got := served(end.Add(-time.Hour), www); got != upload.ID {
		t.Error("a good certificate was given up")
	}
	if got := served(end.Add(-ending), www); got != wildcard.ID {
		t.Error("what has ended is served, although another one carries the name")
	}
	if got := served(end.Add(2*certs.Overlap), api); got != upload.ID {
		t.Error("a name lost the only certificate that it had")
	}
	// What it gave way to goes: it gives way to the next at once, or is again all that there is.
	next := cert(end.Add(120*24*time.Hour), false, "*.x.test")
	tx(func(tx *store.Tx) error {
		if err := tx.CreateCertificate(ctx, next); err != nil {
			return err
		}
		return tx.DeleteCertificate(ctx, wildcard.ID)
	})
	if got := served(end.Add(3*certs.Overlap), www); got != next.ID {
		t.Error("what has ended came back")
	}
}

// What the cluster's own authority made gives way to what was uploaded before there was such a rule, too; it comes back when that ends, if it is
// good, and else leaves the service what it has.
func TestOwnGivesWayToUpload(t *testing.T) {
	db, ctx := storetest.New(t), t.Context()
	now := time.Now().UTC().Truncate(time.Second)
	end := now.Add(10 * 24 * time.Hour)
	org, pool := &model.Organization{ID: model.OrgID{}.New(), Name: "o"}, &model.Pool{ID: model.PoolID{}.New(), Name: "p"}
	service := func(host string) *model.Service {
		return &model.Service{ID: model.ServiceID{}.New(), Org: org.ID, Name: strings.ReplaceAll(host, ".", "-"), Kind: model.HTTP, Hostname: host, Pool: pool.ID}
	}
	cert := func(notAfter time.Time, uploaded bool, names ...string) *model.Certificate {
		return &model.Certificate{
			ID: model.CertificateID{}.New(), Org: org.ID, Names: names, ChainPEM: []byte("x"), SealedKey: []byte("x"), NotBefore: now.Add(-time.Hour), NotAfter: notAfter, Uploaded: uploaded, KeyType: model.ECDSA,
		}
	}
	www, api, deep := service("www.x.test"), service("api.x.test"), service("a.b.x.test")
	upload := cert(end, true, "*.x.test", "x.test")
	lasts, short, beyond := cert(end.Add(24*time.Hour), false, "www.x.test"), cert(end.Add(-24*time.Hour), false, "api.x.test"), cert(end.Add(24*time.Hour), false, "a.b.x.test")
	if _, err := db.Tx(ctx, "test", func(tx *store.Tx) error {
		for _, err := range []error{
			tx.CreateOrganization(ctx, org), tx.CreatePool(ctx, pool),
			tx.CreateDomain(ctx, &model.Domain{ID: model.DomainID{}.New(), Org: org.ID, Name: "x.test", Pool: pool.ID}),
			tx.CreateService(ctx, www), tx.CreateService(ctx, api), tx.CreateService(ctx, deep),
			tx.CreateCertificate(ctx, upload), tx.CreateCertificate(ctx, lasts), tx.CreateCertificate(ctx, short), tx.CreateCertificate(ctx, beyond),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p := &Planner{w: &Worker{Options: Options{Store: db}, pauses: &pauses{}}}
	for _, at := range []struct {
		when           time.Time
		www, api, deep *model.Certificate
	}{
		{now, upload, upload, beyond},
		{end.Add(-ending - time.Second), upload, upload, beyond},
		{end.Add(-ending), lasts, upload, beyond},
		{end.Add(time.Hour), lasts, upload, beyond},
	} {
		for range 2 { // what one round says the next one leaves
			if err := p.clean(ctx, at.when); err != nil {
				t.Fatal(err)
			}
			b, err := db.Load(ctx)
			if err != nil {
				t.Fatal(err)
			}
			m := model.Empty().Apply(b)
			for s, want := range map[*model.Service]*model.Certificate{www: at.www, api: at.api, deep: at.deep} {
				if got := m.CertificateFor(m.Service(s.ID)); got.ID != want.ID {
					t.Errorf("%v before the end %s is served with that of %v until %v", end.Sub(at.when), s.Hostname, got.Names, got.NotAfter)
				}
			}
		}
	}
}
