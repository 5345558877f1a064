package certs

import (
	"slices"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// What is due goes by its end, and of a day by what is asked for: whatever order it came in.
func TestUrgent(t *testing.T) {
	now := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	org, other := model.OrgID{}.New(), model.OrgID{}.New()
	b := model.Batch{To: 1, Reload: true, Services: map[model.ServiceID]*model.Service{}}
	requests := map[model.ServiceID]int64{model.ServiceID{}.New(): 9999} // of a service that is gone
	service := func(o model.OrgID, host string, kind model.ServiceKind, n int64) {
		s := &model.Service{ID: model.ServiceID{}.New(), Org: o, Name: host, Hostname: host, Kind: kind}
		b.Services[s.ID], requests[s.ID] = s, n
	}
	service(org, "a.org", model.HTTP, 3)
	service(org, "www.a.org", model.HTTP, 30)
	service(org, "deep.www.a.org", model.HTTP, 1000) // in no wildcard of the apex
	service(org, "raw.a.org", model.TLS, 5000)       // passed through: its certificate is not ours
	service(org, "*.b.org", model.HTTP, 20)
	service(org, "busy.org", model.HTTP, 31)
	service(other, "www.a.org", model.HTTP, 700) // another organization's requests count for its own
	load := LoadOf(model.Empty().Apply(b), requests)

	day := 24 * time.Hour
	due := func(expires time.Duration, names ...string) store.Due {
		d := store.Due{ManagedCertificate: &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: org, Names: names}}
		if expires != 0 {
			d.Expires = now.Add(expires)
		}
		return d
	}
	want := []store.Due{
		due(0, "new.org"),
		due(-day, "expired.org"),
		due(time.Hour, "hour.org"), // little is left: its end alone counts
		due(2*time.Hour, "busy.org"),
		due(10*day+5*time.Hour, "*.a.org", "a.org"), // 33 requests
		due(10*day+4*time.Hour, "busy.org"),         // 31
		due(10*day+3*time.Hour, "*.b.org"),          // 20
		due(10*day+time.Hour, "idle.org"),
		due(10*day+2*time.Hour, "idle2.org"),
		due(11*day, "deep.www.a.org"), // the next day
	}
	names := func(list []store.Due) (out []string) {
		for _, d := range list {
			out = append(out, d.Names[0]+" "+d.Expires.Format(time.DateTime))
		}
		return out
	}
	for i := range want {
		got := slices.Concat(want[i:], want[:i])
		slices.Reverse(got)
		if Urgent(got, load, now); !slices.Equal(names(got), names(want)) {
			t.Fatalf("got  %q\nwant %q", names(got), names(want))
		}
	}
}
