package store_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/loglinear"
)

var logged = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func request(org model.OrgID, at time.Time) *model.Request {
	return &model.Request{
		ID: uuid.Must(uuid.NewV7()), At: at, Org: org, Kind: model.HTTP, Service: model.ServiceID{}.New(), ServiceName: "wiki", Node: model.NodeID{}.New(), NodeName: "edge-1",
		Site: model.SiteID{}.New(), SiteName: "home", Target: model.TargetID{}.New(), Relay: model.NodeID{}.New(), Client: netip.MustParseAddr("192.0.2.7"),
		Method: "GET", Host: "wiki.example.org", Path: "/a/b", Visitor: "ann@example.org", Status: 200, In: 1, Out: 2,
		Decide: time.Microsecond, FirstByte: 2 * time.Millisecond, Total: 3 * time.Second, Decision: model.DecisionAllowed, Reason: "rule 1, authenticated", Error: "cut",
	}
}

func TestRequestLog(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	if err := s.MakePartitions(ctx, logged, 1); err != nil {
		t.Fatal(err)
	}
	org, other := model.OrgID{}.New(), model.OrgID{}.New()
	var all []*model.Request
	for i := range 10 {
		all = append(all, request(org, logged.Add(time.Duration(i/2)*time.Second))) // two at each moment
	}
	bare := &model.Request{ID: uuid.New(), At: logged.Add(time.Minute), Org: org, Kind: model.UDP, Service: model.ServiceID{}.New(), Node: model.NodeID{}.New(), Decision: model.DecisionRefused}
	all[3].Status, all[4].Status, all[5].Path, all[6].Decision = 503, 404, "/ab", model.DecisionDenied
	all[7].Client = netip.MustParseAddr("2001:db8::1")
	all = append(all, bare)
	add := func(list ...*model.Request) (n int64) {
		t.Helper()
		_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
			var err error
			n, err = tx.AddRequests(ctx, list)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := add(append(all, request(other, logged))...); n != 12 {
		t.Fatalf("%d written", n)
	}
	if n := add(all...); n != 0 {
		t.Errorf("%d were written twice", n)
	}
	list := func(f model.RequestFilter, before model.RequestMark, limit int) (out []*model.Request) {
		t.Helper()
		err := s.ViewAs(ctx, store.As{Orgs: []model.OrgID{org}}, func(tx *store.Tx) error {
			var err error
			out, err = tx.ListRequests(ctx, org, f, before, limit)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	got := list(model.RequestFilter{}, model.RequestMark{}, 100)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b *model.Request) int { return slices.Index(ids(all), a.ID) - slices.Index(ids(all), b.ID) })
	if diff := cmp.Diff(all, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	// Page by page it is the same.
	var paged []*model.Request
	for mark := (model.RequestMark{}); ; {
		page := list(model.RequestFilter{}, mark, 3)
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		mark = model.RequestMark{At: page[len(page)-1].At, ID: page[len(page)-1].ID}
	}
	if len(paged) != len(all) {
		t.Errorf("%d in pages of 3, want %d", len(paged), len(all))
	}
	// What the database selects is what Matches says.
	for i, f := range []model.RequestFilter{
		{Service: "wiki"}, {Service: all[2].Service.String()}, {Service: "nothing"}, {Site: "home"}, {Site: all[2].Site.String()}, {Node: all[2].Node.String()},
		{Statuses: [2]int{500, 599}}, {Statuses: [2]int{404, 404}}, {Method: "GET"}, {Host: "wiki.example.org"}, {PathPrefix: "/a/"}, {Visitor: "ann@example.org"},
		{Client: netip.MustParsePrefix("192.0.2.0/24")}, {Client: netip.MustParsePrefix("2001:db8::/32")}, {Decision: model.DecisionDenied},
		{Since: logged.Add(2 * time.Second)}, {Until: logged.Add(2 * time.Second)},
	} {
		if err := f.Validate(); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
		want := 0
		for _, r := range all {
			if f.Matches(r) {
				want++
			}
		}
		if got := len(list(f, model.RequestMark{}, 100)); got != want || want == 0 && i != 2 {
			t.Errorf("%+v: %d, want %d", f, got, want)
		}
	}
}

func ids(list []*model.Request) (out []uuid.UUID) {
	for _, r := range list {
		out = append(out, r.ID)
	}
	return out
}

func TestRetention(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	for range 2 { // it may be repeated
		if err := s.MakePartitions(ctx, logged.Add(-2*day), 3); err != nil {
			t.Fatal(err)
		}
	}
	org, short := model.OrgID{}.New(), model.Organization{ID: model.OrgID{}.New(), Name: "short"}
	_, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
		if err := tx.CreateOrganization(ctx, &short); err != nil {
			return err
		}
		if d, err := tx.RequestLogDays(ctx, short.ID); err != nil || d != model.RequestLogDays {
			t.Errorf("by default %d days, %v", d, err)
		}
		if err := tx.SetRequestLogDays(ctx, short.ID, 1); err != nil {
			return err
		}
		if all, err := tx.RequestLogSettings(ctx); err != nil || len(all) != 1 || all[short.ID] != 1 {
			t.Errorf("%v, %v", all, err)
		}
		var list []*model.Request
		for i := range 4 {
			list = append(list, request(org, logged.Add(time.Duration(i-2)*day)), request(short.ID, logged.Add(time.Duration(i-2)*day)))
		}
		_, err := tx.AddRequests(ctx, list)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	count := func(org model.OrgID) (n int) {
		t.Helper()
		if err := s.View(ctx, func(tx *store.Tx) error {
			l, err := tx.ListRequests(ctx, org, model.RequestFilter{}, model.RequestMark{}, 100)
			n = len(l)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	// A day that is over for everybody is dropped, with what is in it.
	dropped, err := s.DropPartitions(ctx, logged.Add(-day), logged)
	if err != nil || strings.Join(dropped, " ") != "request_log_20261124 traffic_15s_20261124 traffic_15s_20261125" {
		t.Errorf("%v, %v", dropped, err)
	}
	if n := count(org); n != 3 {
		t.Errorf("%d requests are left, want 3", n)
	}
	// Of one organization it is removed by rows, some at a time.
	total := int64(0)
	for {
		var n int64
		if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
			var err error
			n, err = tx.DeleteRequests(ctx, short.ID, logged.Add(day/2), 1)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
	}
	if total != 2 || count(short.ID) != 1 || count(org) != 3 {
		t.Errorf("%d removed, %d and %d are left", total, count(short.ID), count(org))
	}
}

const day = 24 * time.Hour

func TestTraffic(t *testing.T) {
	s, ctx := storetest.New(t), t.Context()
	if err := s.MakePartitions(ctx, logged, 0); err != nil {
		t.Fatal(err)
	}
	org, service, site := model.OrgID{}.New(), model.ServiceID{}.New(), model.SiteID{}.New()
	nodes := []model.NodeID{model.NodeID{}.New(), model.NodeID{}.New()}
	var list []*model.NodeTraffic
	for i := range 80 { // 20 minutes of two nodes
		for n, node := range nodes {
			v := &model.NodeTraffic{At: logged.Add(time.Duration(i) * model.TrafficFine), Org: org, Service: service, Node: node, Process: int64(n), Traffic: model.Traffic{
				Requests: 10, Statuses: [6]int64{0, 0, 8, 0, 1, 1}, Denied: 1, Failed: 1, In: 100, Out: 1000, Unlogged: 2,
				Took: loglinear.Counts{Buckets: []int32{int32(10 + n), 100}, Counts: []int64{9, 1}},
			}}
			if n == 0 {
				v.Site = site
			}
			list = append(list, v)
		}
	}
	now := logged.Add(20 * time.Minute)
	for range 2 { // twice is once
		if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.AddTraffic(ctx, list) }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error {
			n, err := tx.RollUpTraffic(ctx, logged, time.Unix(0, 0))
			if n != 8 {
				return fmt.Errorf("%d rows of 5 minutes, want 8", n)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	sum := func(q model.TrafficQuery) (out []*model.TrafficSum) {
		t.Helper()
		if err := s.ViewAs(ctx, store.As{Orgs: []model.OrgID{org}}, func(tx *store.Tx) error {
			var err error
			out, err = tx.SumTraffic(ctx, org, q, now)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, tc := range []struct {
		name       string
		q          model.TrafficQuery
		rows, each int
	}{
		{"15 s", model.TrafficQuery{Since: logged, Until: now, Step: model.TrafficFine}, 80, 20},
		{"a minute", model.TrafficQuery{Since: logged, Until: now, Step: time.Minute}, 20, 80},
		{"5 minutes", model.TrafficQuery{Since: logged, Until: now, Step: model.TrafficCoarse}, 4, 400},
		{"by service", model.TrafficQuery{Since: logged, Until: now, By: model.ByService}, 1, 1600},
		{"by site", model.TrafficQuery{Since: logged, Until: now, By: model.BySite}, 2, 800},
		{"by node", model.TrafficQuery{Since: logged, Until: now, By: model.ByNode}, 2, 800},
		{"of a site", model.TrafficQuery{Site: site, Since: logged, Until: now}, 1, 800},
		{"of another service", model.TrafficQuery{Service: model.ServiceID{}.New(), Since: logged, Until: now}, 0, 0},
	} {
		got := sum(tc.q)
		if len(got) != tc.rows {
			t.Errorf("%s: %d rows, want %d", tc.name, len(got), tc.rows)
			continue
		}
		for _, v := range got {
			n := int64(tc.each)
			want := model.Traffic{Requests: n, Statuses: [6]int64{0, 0, n * 8 / 10, 0, n / 10, n / 10}, Denied: n / 10, Failed: n / 10, In: 10 * n, Out: 100 * n, Unlogged: n / 5, Took: v.Took}
			if diff := cmp.Diff(want, v.Traffic); diff != "" {
				t.Errorf("%s: %s", tc.name, diff)
			}
			var took int64
			for _, c := range v.Took.Counts {
				took += c
			}
			if took != n || v.Took.Quantile(.5) > 20*time.Microsecond || v.Took.Quantile(.99) < time.Millisecond {
				t.Errorf("%s: durations %v", tc.name, v.Took)
			}
		}
	}
	if err := s.View(ctx, func(tx *store.Tx) error {
		all, err := tx.ServiceRequests(ctx, logged.Add(model.TrafficCoarse))
		if len(all) != 1 || all[service] != 1200 {
			t.Errorf("requests in the last 15 minutes: %v, want 1200", all)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tx(ctx, "test", func(tx *store.Tx) error { return tx.DeleteTraffic(ctx, logged.Add(model.TrafficCoarse)) }); err != nil {
		t.Fatal(err)
	}
	if got := sum(model.TrafficQuery{Since: logged, Until: now, Step: model.TrafficCoarse}); len(got) != 3 {
		t.Errorf("%d windows are left, want 3", len(got))
	}
}
