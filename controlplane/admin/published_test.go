package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/wgkey"
)

// yard is a cluster with the site "home", whose connector c1 may publish below apps.example.org.
type yard struct {
	t  *testing.T
	db *store.Store
	a  *Admin
	p  access.Principal

	c1 model.ConnectorID
}

func newYard(t *testing.T) *yard {
	t.Helper()
	db, sealer := storetest.New(t), newSealer(t)
	c, err := Bootstrap(t.Context(), db, sealer)
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t, db: db, a: New(db, certs.NewIssuer(c.Web, sealer), sealer, c.Identity.Fingerprint())}
	y.p = access.Principal{Key: model.APIKeyID{}.New(), Grants: access.Everything()}
	if _, _, err := y.a.Domains.Create(t.Context(), y.p, DefaultName, "example.org", DomainSpec{Pool: DefaultName}); err != nil {
		t.Fatal(err)
	}
	y.permit(&Publish{Hostnames: []string{"*.apps.example.org"}, Ports: []string{"6000-6010"}})
	y.c1 = y.connector("c1")
	return y
}

func (y *yard) permit(what *Publish) {
	y.t.Helper()
	if _, _, _, err := y.a.Sites.Put(y.t.Context(), y.p, DefaultName, "home", SiteSpec{Pool: DefaultName, Publish: what}); err != nil {
		y.t.Fatal(err)
	}
}

// connector makes one that has joined.
func (y *yard) connector(name string) model.ConnectorID {
	y.t.Helper()
	v, _, err := y.a.Connectors.Create(y.t.Context(), y.p, DefaultName, name, ConnectorSpec{Site: "home"})
	if err != nil {
		y.t.Fatal(err)
	}
	id, err := model.ConnectorID{}.Parse(v.ID)
	if err != nil {
		y.t.Fatal(err)
	}
	_, err = y.db.Tx(y.t.Context(), "test", func(tx *store.Tx) error {
		row, err := tx.GetConnector(y.t.Context(), id)
		if err != nil {
			return err
		}
		key, err := wgkey.New()
		if err != nil {
			return err
		}
		row.WireGuardKey = key.Public()
		_, err = tx.UpdateConnector(y.t.Context(), row)
		return err
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return id
}

func web(name, host string, addresses ...string) model.PublishedService {
	s := model.PublishedService{Name: name, Kind: "http", Hostname: host}
	for i, a := range addresses {
		s.Targets = append(s.Targets, model.PublishedTarget{Container: name + "-" + itoa(i+1), Address: a, Port: 80})
	}
	return s
}

// says publishes, and returns the problems.
func (y *yard) says(c model.ConnectorID, p model.Publication) (problems []string) {
	y.t.Helper()
	if p.Engine == "" {
		p.Engine = "e"
	}
	out, err := y.a.Publish(y.t.Context(), c, &p)
	if err != nil {
		y.t.Fatal(err)
	}
	for _, o := range out.Problems {
		problems = append(problems, o.Service+": "+o.Message)
	}
	return problems
}

// want compares what there is: services with hostname or ports, and addresses of their targets.
func (y *yard) want(want string) {
	y.t.Helper()
	services, _, err := y.a.Services.List(y.t.Context(), y.p, DefaultName, "", 100)
	if err != nil {
		y.t.Fatal(err)
	}
	targets, _, err := y.a.Targets.List(y.t.Context(), y.p, DefaultName, "", 100)
	if err != nil {
		y.t.Fatal(err)
	}
	var lines []string
	for _, s := range services {
		line := s.Name + "=" + s.Hostname + s.Ports
		var at []string
		for _, t := range targets {
			if t.Service == s.Name {
				at = append(at, t.Address)
			}
		}
		slices.Sort(at)
		lines = append(lines, strings.Join(append([]string{line}, at...), " "))
	}
	if got := strings.Join(lines, "; "); got != want {
		y.t.Errorf("there is %q, want %q", got, want)
	}
}

func (y *yard) problems(got []string, want ...string) {
	y.t.Helper()
	if len(got) != len(want) {
		y.t.Errorf("problems %q, want %q", got, want)
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			y.t.Errorf("problem %q, want %q", got[i], want[i])
		}
	}
}

func publication(services ...model.PublishedService) model.Publication {
	return model.Publication{Services: services}
}

func TestLabelsMakeChangeAndRemoveServices(t *testing.T) {
	y := newYard(t)
	shop := publication(web("shop", "shop.apps.example.org", "10.0.0.1", "10.0.0.2"))
	y.problems(y.says(y.c1, shop))
	y.want("shop=shop.apps.example.org 10.0.0.1 10.0.0.2")

	before, err := y.a.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y.problems(y.says(y.c1, shop))
	if after, _ := y.a.Head(t.Context()); after != before {
		t.Error("the same once more was written")
	}

	// A container is replaced, another one goes, a second service comes.
	next := publication(web("shop", "store.apps.example.org", "10.0.0.9"), web("wiki", "wiki.apps.example.org", "10.0.0.3"))
	next.Services[1].Targets[0].HealthCheck = &model.PublishedCheck{Kind: "http", Path: "/up"}
	y.problems(y.says(y.c1, next))
	y.want("shop=store.apps.example.org 10.0.0.9; wiki=wiki.apps.example.org 10.0.0.3")

	// What somebody changes by hand is changed back.
	if _, _, _, err := y.a.Services.Put(t.Context(), y.p, DefaultName, "shop", ServiceSpec{Kind: "http", Hostname: "x.example.org", Pool: DefaultName}); err != nil {
		t.Fatal(err)
	}
	y.says(y.c1, next)
	y.want("shop=store.apps.example.org 10.0.0.9; wiki=wiki.apps.example.org 10.0.0.3")

	// Names change hands in one go.
	y.problems(y.says(y.c1, publication(web("other", "store.apps.example.org", "10.0.0.9"))))
	y.want("other=store.apps.example.org 10.0.0.9")

	site, err := y.a.Sites.Get(t.Context(), y.p, DefaultName, "home")
	if err != nil || site.Published == nil || !slices.Equal(site.Published.Services, []string{"other"}) || site.Published.Problems != nil {
		t.Errorf("%+v, %v", site.Published, err)
	}
	s, err := y.a.Services.Get(t.Context(), y.p, DefaultName, "other")
	if err != nil || s.ManagedBy != site.ID {
		t.Errorf("kept by %q, %v", s.ManagedBy, err)
	}
	log, err := y.a.RecentAudit(t.Context(), y.p, DefaultName, 50)
	if err != nil {
		t.Fatal(err)
	}
	var done []string
	for _, e := range log {
		if e.Actor == "connector:"+y.c1.String() && e.ActorName == "c1" {
			done = append(done, e.Action+" "+e.ObjectName)
		}
	}
	for _, want := range []string{"service.create shop", "service.update shop", "service.delete shop", "service.create other"} {
		if !slices.Contains(done, want) {
			t.Errorf("the log has no %q of the connector: %q", want, done)
		}
	}

	y.problems(y.says(y.c1, publication()))
	y.want("")
}

func TestNothingGoesThatMayComeBack(t *testing.T) {
	y := newYard(t)
	all := publication(web("shop", "shop.apps.example.org", "10.0.0.1"), web("wiki", "wiki.apps.example.org", "10.0.0.2"))
	y.says(y.c1, all)
	const both = "shop=shop.apps.example.org 10.0.0.1; wiki=wiki.apps.example.org 10.0.0.2"
	y.says(y.c1, model.Publication{Partial: true})
	y.want(both)
	y.problems(y.says(y.c1, model.Publication{Trouble: "engine at /x: gone"})) // it has told of that itself
	y.want(both)
	y.says(y.c1, model.Publication{Services: all.Services[:1], Held: []string{"wiki"}, Problems: []model.PublishProblem{{Service: "wiki", Container: "w", Label: "l", Message: "odd"}}})
	y.want(both)
	site, err := y.a.Sites.Get(t.Context(), y.p, DefaultName, "home")
	if err != nil || len(site.Published.Problems) != 1 || site.Published.Problems[0] != (model.PublishProblem{Service: "wiki", Container: "w", Label: "l", Connector: "c1", Message: "odd"}) {
		t.Errorf("%+v, %v", site.Published, err)
	}
	y.says(y.c1, publication(all.Services[0]))
	y.want("shop=shop.apps.example.org 10.0.0.1")
}

func TestLabelsTakeNothingOver(t *testing.T) {
	y := newYard(t)
	ctx := t.Context()
	if _, _, err := y.a.Services.Create(ctx, y.p, DefaultName, "shop", ServiceSpec{Kind: "http", Hostname: "shop.example.org", Pool: DefaultName}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := y.a.Services.Create(ctx, y.p, DefaultName, "byhand", ServiceSpec{Kind: "http", Hostname: "taken.apps.example.org", Pool: DefaultName}); err != nil {
		t.Fatal(err)
	}
	got := y.says(y.c1, publication(
		web("shop", "shop.apps.example.org", "10.0.0.1"), web("taken", "taken.apps.example.org", "10.0.0.1"),
		web("nowhere", "a.example.net", "10.0.0.1"), web("wiki", "wiki.apps.example.org", "10.0.0.2")))
	y.problems(got, "nowhere: hostname: a.example.net is not among the hostnames that the site may publish", "shop: the service shop was made by hand", "taken: hostname: ")
	y.want("byhand=taken.apps.example.org; shop=shop.example.org; wiki=wiki.apps.example.org 10.0.0.2")

	// A set of manifests takes over what labels have made, and then it is the set's.
	err := func() error {
		_, _, _, err := y.a.Services.PutWith(ctx, y.p, DefaultName, "wiki", ServiceSpec{Kind: "http", Hostname: "wiki.example.org", Pool: DefaultName}, Write{Set: "files"})
		return err
	}()
	if err != nil {
		t.Fatal(err)
	}
	y.problems(y.says(y.c1, publication(web("wiki", "wiki.apps.example.org", "10.0.0.2"))), "wiki: the service wiki is kept by files")
	y.want("byhand=taken.apps.example.org; shop=shop.example.org; wiki=wiki.example.org 10.0.0.2")

	// What somebody has put a target behind is not removed with its labels.
	y.says(y.c1, publication(web("mine", "mine.apps.example.org", "10.0.0.7")))
	if _, _, err := y.a.Targets.Create(ctx, y.p, DefaultName, "extra", TargetSpec{Service: "mine", Site: "home", Address: "10.0.0.8", Port: 80}); err != nil {
		t.Fatal(err)
	}
	y.problems(y.says(y.c1, publication()), "mine: no label asks for it any more; it stays for its target extra")
	y.want("byhand=taken.apps.example.org; mine=mine.apps.example.org 10.0.0.8; shop=shop.example.org; wiki=wiki.example.org")
}

func TestLabelsPublishWhatTheSiteMay(t *testing.T) {
	y := newYard(t)
	db := model.PublishedService{Name: "db", Kind: "tcp", Ports: "6000", Targets: []model.PublishedTarget{{Container: "db", Address: "10.0.0.5", Port: 5432}}}
	high := db
	high.Name, high.Ports = "high", "7000"
	odd := web("odd", "odd.apps.example.org", "10.0.0.1")
	odd.Policy = "staff"
	one := web("one", "one.apps.example.org", "10.0.0.1", "bad address")
	y.problems(y.says(y.c1, publication(db, high, odd, one)),
		"high: ports: 7000 is not among the ports", `odd: policy: "staff" does not exist`, "one: address: ")
	y.want("db=6000 10.0.0.5; one=one.apps.example.org 10.0.0.1")

	y.permit(&Publish{Hostnames: []string{"*.apps.example.org"}})
	y.want("one=one.apps.example.org 10.0.0.1") // at once
	y.permit(nil)
	y.want("")
	y.problems(y.says(y.c1, publication(one)), "1 services are asked for, and the site may publish none")
	y.want("")
	y.permit(&Publish{Hostnames: []string{"one.apps.example.org"}})
	y.want("one=one.apps.example.org 10.0.0.1")

	sitesOnly := access.Principal{Key: model.APIKeyID{}.New(), Grants: access.Grants{Cluster: access.NewSet([]string{"sites:write", "sites:read"})}}
	_, _, _, err := y.a.Sites.Put(t.Context(), sitesOnly, DefaultName, "home", SiteSpec{Pool: DefaultName, Publish: &Publish{Hostnames: []string{"*.example.org"}}})
	if fault.Of(err) != fault.Denied || !strings.Contains(err.Error(), "services:write") {
		t.Errorf("who may not write services lets connectors write them: %v", err)
	}
	for _, bad := range []struct {
		spec  SiteSpec
		field string
	}{
		{SiteSpec{Pool: DefaultName, Publish: &Publish{Hostnames: []string{"a..b"}}}, "publish.hostnames[0]"},
		{SiteSpec{Pool: DefaultName, Publish: &Publish{Ports: []string{"70000"}}}, "publish.ports[0]"},
		{SiteSpec{Pool: DefaultName, Kind: "wireguard", Publish: &Publish{}}, "publish"},
	} {
		if _, _, err := y.a.Sites.Create(t.Context(), y.p, DefaultName, "bad", bad.spec); fault.Of(err) != fault.Invalid || !strings.HasPrefix(err.Error(), bad.field+":") {
			t.Errorf("%v, want %s", err, bad.field)
		}
	}
}

func TestTwoConnectorsOfASite(t *testing.T) {
	y := newYard(t)
	y.problems(y.says(y.c1, publication(web("shop", "shop.apps.example.org", "10.0.0.1"))))
	c2 := y.connector("c2")
	y.problems(y.says(y.c1, publication(web("shop", "shop.apps.example.org", "10.0.0.1"))),
		": containers beside connector c1 are reached at addresses of their own, and c2 of the same site may be asked to reach them, too: set docker.host_address of c1")
	// Both read one engine, and hear of a change one after the other.
	y.problems(y.says(c2, publication(web("shop", "shop.apps.example.org", "10.0.0.1"))))
	y.says(c2, publication())
	y.want("")
	// Each reads its own, at addresses that all reach.
	y.says(y.c1, model.Publication{Engine: "one", Anywhere: true, Services: []model.PublishedService{web("shop", "shop.apps.example.org", "192.0.2.1")}})
	y.problems(y.says(c2, model.Publication{Engine: "two", Anywhere: true, Services: []model.PublishedService{web("shop", "shop.apps.example.org", "192.0.2.2")}}))
	y.want("shop=shop.apps.example.org 192.0.2.1 192.0.2.2")
	// At addresses of its own machine alone.
	y.problems(y.says(c2, model.Publication{Engine: "two", Services: []model.PublishedService{web("wiki", "wiki.apps.example.org", "172.17.0.2")}}),
		": another connector of the site reads another engine")
	y.want("shop=shop.apps.example.org 192.0.2.1")
	// One is no more, and the other does not read an engine any more.
	if _, _, err := y.a.RevokeConnector(t.Context(), y.p, DefaultName, "c1"); err != nil {
		t.Fatal(err)
	}
	y.want("wiki=wiki.apps.example.org 172.17.0.2")
	if _, err := y.a.Publish(t.Context(), y.c1, &model.Publication{Engine: "one"}); fault.Of(err) != fault.Denied {
		t.Errorf("who was revoked publishes: %v", err)
	}
	if err := y.a.Withdraw(t.Context(), c2); err != nil {
		t.Fatal(err)
	}
	y.want("")
	y.says(c2, publication(web("shop", "shop.apps.example.org", "10.0.0.1")))
	if _, err := y.a.Connectors.Delete(t.Context(), y.p, DefaultName, "c2"); err != nil {
		t.Fatal(err)
	}
	y.want("")
}

func TestLabelsStayInTheirOrganization(t *testing.T) {
	y := newYard(t)
	ctx := t.Context()
	if _, _, err := y.a.Organizations.Create(ctx, y.p, "", "other", OrganizationSpec{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := y.a.Domains.Create(ctx, y.p, "other", "example.net", DomainSpec{Pool: DefaultName}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := y.a.Services.Create(ctx, y.p, "other", "shop", ServiceSpec{Kind: "http", Hostname: "shop.example.net", Pool: DefaultName}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := y.a.Policies.Create(ctx, y.p, "other", "staff", PolicySpec{}); err != nil {
		t.Fatal(err)
	}
	y.permit(&Publish{Hostnames: []string{"*.example.net", "*.example.org"}})
	foreign := web("b", "b.example.org", "10.0.0.1")
	foreign.Policy = "staff"
	y.problems(y.says(y.c1, publication(web("a", "a.example.net", "10.0.0.1"), foreign, web("shop", "shop.example.net", "10.0.0.1"))),
		"a: hostname: ", `b: policy: "staff" does not exist`, "shop: hostname: ")
	y.want("")
	if s, err := y.a.Services.Get(ctx, y.p, "other", "shop"); err != nil || s.Hostname != "shop.example.net" || s.ManagedBy != "" {
		t.Errorf("%+v, %v", s, err)
	}
}
