package admin

import (
	"fmt"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// A service and the removal of its domain at the same moment: one of them wins, never both.
func TestServiceAndDomainRemovalExcludeEachOther(t *testing.T) {
	db, sealer := storetest.New(t), newSealer(t)
	c, err := Bootstrap(t.Context(), db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	a := New(db, certs.NewIssuer(c.Web, sealer), sealer, c.Identity.Fingerprint())
	p := access.Principal{Key: model.APIKeyID{}.New(), Grants: access.Everything()}
	for i := range 40 {
		apex := fmt.Sprintf("d%d.example", i)
		if _, _, err := a.Domains.Create(t.Context(), p, DefaultName, apex, DomainSpec{Pool: DefaultName}); err != nil {
			t.Fatal(err)
		}
		var made, removed error
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _, made = a.Services.Create(t.Context(), p, DefaultName, fmt.Sprintf("s%d", i), ServiceSpec{Kind: "http", Hostname: "www." + apex, Pool: DefaultName})
		})
		wg.Go(func() { _, removed = a.Domains.Delete(t.Context(), p, DefaultName, apex) })
		wg.Wait()
		switch {
		case made == nil && fault.Of(removed) == fault.Conflict:
		case removed == nil && fault.Of(made) == fault.Invalid:
		default:
			t.Errorf("%s: service %v, removal %v", apex, made, removed)
		}
	}
}
