package admin

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func newSealer(t *testing.T) *authority.Sealer {
	t.Helper()
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	s, err := authority.NewSealer(kek)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestReplicasThatStartAtOnceMakeOneCluster(t *testing.T) {
	db, sealer := storetest.New(t), newSealer(t)
	const replicas = 6
	var clusters [replicas]*Cluster
	var wg sync.WaitGroup
	for i := range replicas {
		wg.Go(func() {
			c, err := Bootstrap(t.Context(), db, sealer)
			if err != nil {
				t.Error(err)
				return
			}
			clusters[i] = c
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	keys := 0
	for _, c := range clusters {
		if c.ID != clusters[0].ID || c.Identity.Fingerprint() != clusters[0].Identity.Fingerprint() || c.Web.Fingerprint() != clusters[0].Web.Fingerprint() {
			t.Error("two clusters in one database")
		}
		if c.FirstKey != "" {
			keys++
			p, err := New(db, nil, nil, "").Authenticate(t.Context(), c.FirstKey, netip.Addr{})
			if err != nil || p.Check(access.ClusterManage) != nil || p.Name != "bootstrap" {
				t.Errorf("the first key: %+v, %v", p, err)
			}
		}
	}
	if keys != 1 {
		t.Errorf("%d first keys", keys)
	}
	b, err := db.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Organizations) != 1 || len(b.Regions) != 1 || len(b.Pools) != 1 || len(b.Authorities) != 2 {
		t.Errorf("%+v", b)
	}
}

func TestBootstrapAgain(t *testing.T) {
	db, sealer := storetest.New(t), newSealer(t)
	first, err := Bootstrap(t.Context(), db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	head := func() model.Revision {
		b, err := db.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return b.To
	}
	before := head()
	second, err := Bootstrap(t.Context(), db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	if second.FirstKey != "" || second.ID != first.ID || head() != before {
		t.Errorf("a second start made another cluster: %+v", second)
	}
	if _, err := Bootstrap(t.Context(), db, newSealer(t)); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "key-encryption key") {
		t.Errorf("another key-encryption key: %v", err)
	}
}

// What was removed after the first start does not come back.
func TestBootstrapBringsNothingBack(t *testing.T) {
	db, sealer := storetest.New(t), newSealer(t)
	if _, err := Bootstrap(t.Context(), db, sealer); err != nil {
		t.Fatal(err)
	}
	_, err := db.Tx(t.Context(), "test", func(tx *store.Tx) error {
		r, err := tx.GetRegionByName(t.Context(), DefaultName)
		if err != nil {
			return err
		}
		return tx.DeleteRegion(t.Context(), r.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Bootstrap(t.Context(), db, sealer); err != nil {
		t.Fatal(err)
	}
	b, err := db.Load(t.Context())
	if err != nil || len(b.Regions) != 0 {
		t.Errorf("%d regions, %v", len(b.Regions), err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("wrn_key_01jd0000000000000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("wrn_")
	f.Add("wrn__")
	f.Add("wrn_key_")
	var k model.APIKey
	f.Add(newKey(&k))
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, err := parseKey(text)
		if err == nil && (id.IsZero() || len(secret) != 32) {
			t.Errorf("%q: %v, %d bytes", text, id, len(secret))
		}
	})
}
