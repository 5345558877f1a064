package console

import (
	"errors"
	"net/netip"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/tail"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/loglinear"
	"github.com/warrenedge/warren/shared/resource"
)

// furnish makes a little of everything: two nodes, of which one is up; a site with a connector that has tunnels, and one
// without; services of each kind; a target that is ill.
func (r *rig) furnish() {
	r.t.Helper()
	ctx := r.t.Context()
	put := func(_ any, rev model.Revision, err error) { r.t.Helper(); r.must(rev, err) }
	put(r.admin.Domains.Create(ctx, r.key, "default", "example.org", admin.DomainSpec{Pool: "default"}))
	put(r.admin.Nodes.Create(ctx, r.key, "", "edge-1", admin.NodeSpec{Pool: "default", Addresses: []string{"192.0.2.1", "2001:db8::1"}}))
	put(r.admin.Nodes.Create(ctx, r.key, "", "edge-2", admin.NodeSpec{Pool: "default", Addresses: []string{"192.0.2.2"}}))
	put(r.admin.Sites.Create(ctx, r.key, "default", "home", admin.SiteSpec{Pool: "default", Publish: &admin.Publish{Hostnames: []string{"*.example.org"}, Ports: []string{"6000-6010"}}}))
	put(r.admin.Sites.Create(ctx, r.key, "default", "office", admin.SiteSpec{Pool: "default"}))
	put(r.admin.Connectors.Create(ctx, r.key, "default", "pi", admin.ConnectorSpec{Site: "home"}))
	put(r.admin.Policies.Create(ctx, r.key, "default", "staff", admin.PolicySpec{
		Rules: []admin.PolicyRule{{Action: "deny", PolicyConditions: admin.PolicyConditions{Paths: []string{"/admin/**"}}}}, Otherwise: "authenticate",
		Auth: &admin.PolicyAuth{SignIn: &admin.PolicySignIn{Members: true}},
	}))
	put(r.admin.Services.Create(ctx, r.key, "default", "wiki", admin.ServiceSpec{Kind: "http", Hostname: "wiki.example.org", Pool: "default", Policy: "staff"}))
	put(r.admin.Services.Create(ctx, r.key, "default", "mail", admin.ServiceSpec{Kind: "tls", Hostname: "mail.example.org", Pool: "default", Terminate: true}))
	put(r.admin.Services.Create(ctx, r.key, "default", "db", admin.ServiceSpec{Kind: "tcp", Ports: "5432", Pool: "default", Allow: []string{"198.51.100.0/24"}, ProxyProtocol: 2}))
	check := &admin.HealthCheck{Kind: "http", Path: "/ready"}
	put(r.admin.Targets.Create(ctx, r.key, "default", "wiki", admin.TargetSpec{Service: "wiki", Site: "home", Address: "192.168.1.20", Port: 8080, HealthCheck: check}))
	put(r.admin.Targets.Create(ctx, r.key, "default", "db", admin.TargetSpec{Service: "db", Site: "home", Address: "192.168.1.30", Port: 5432}))
	wiki2 := admin.ServiceSpec{Kind: "http", Hostname: "wiki2.example.org", Pool: "default", Policy: "staff"} // that it had once
	for _, s := range []admin.ServiceSpec{wiki2, {Kind: "http", Hostname: "wiki.example.org", Pool: "default", Policy: "staff"}} {
		_, _, rev, err := r.admin.Services.Put(ctx, r.key, "default", "wiki", s)
		r.must(rev, err)
	}
	w := r.service("wiki")
	r.made["route"] = url.QueryEscape(resource.Name("guarded-route", w.Org.String(), w.ID.String()))
	r.join("edge-1", "pi")
	wiki := r.target("wiki")
	edge, pi := r.nodeID("edge-1"), r.connectorID("pi")
	head := r.world.Get().Revision()
	r.report(presence.Entry{Key: presence.Key{Kind: identity.Node, ID: edge}, Applied: head, Load: &presence.Load{Processors: .07, Connections: 42}, Places: []presence.PlacesFile{{Path: "/var/lib/warren/country.mmdb", Kind: "GeoLite2-Country", Built: r.began.Add(-365 * 24 * time.Hour), Countries: true}}, Tunnels: []presence.Tunnel{tunnelTo(pi, true)}})
	r.report(presence.Entry{
		Key: presence.Key{Kind: identity.Connector, ID: pi}, Applied: head, Tunnels: []presence.Tunnel{tunnelTo(edge, true)},
		Listening: []uint16{22, 3000}, Targets: []presence.Target{{ID: wiki, Health: presence.TargetUnhealthy, Reason: "it answers 503"}},
	})
	r.alarm()
	r.files()
	r.people()
	r.order()
	jobs, err := r.admin.Jobs(ctx, r.key, store.JobFilter{Kind: "alert_mail"}, 0, 1)
	if err != nil || len(jobs) != 1 {
		r.t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	r.made["job"] = jobs[0].ID
	for name, spec := range map[string]admin.JoinTokenSpec{"node-token": {Node: "edge-2"}, "connector-token": {Organization: "default", Connector: "pi"}} {
		v, err := r.admin.CreateJoinToken(ctx, r.key, spec)
		if err != nil {
			r.t.Fatal(err)
		}
		r.made[name] = v.ID
	}
	r.log(
		&model.Request{Path: "/page", Status: 200, Decision: model.DecisionAllowed, Reason: "everybody may", Total: 12 * time.Millisecond, Out: 4096},
		&model.Request{Path: "/admin", Status: 403, Decision: model.DecisionDenied, Reason: "rule 2 of policy staff denies"},
		&model.Request{Path: "/api/list", Status: 502, Decision: model.DecisionAllowed, Error: "the target refused the connection"},
	)
	r.count()
}

// files keep two policies in a set, of which one was changed by hand since.
func (r *rig) files() {
	r.t.Helper()
	ctx, w := r.t.Context(), admin.Write{Set: "shop"}
	all := []admin.Wanted{
		r.admin.Policies.Want("Policy", "default", "customers", admin.PolicySpec{Otherwise: "allow"}, w), r.admin.Policies.Want("Policy", "default", "partners", admin.PolicySpec{Otherwise: "allow"}, w),
	}
	_, _, rev, err := r.admin.ApplyWanted(ctx, r.key, all, admin.Pruning{Set: "shop", Org: "default"})
	r.must(rev, err)
	_, _, rev, err = r.admin.Policies.Put(ctx, r.key, "default", "partners", admin.PolicySpec{Otherwise: "deny"})
	r.must(rev, err)
}

// people makes a group, a role, a service account with a key, an invitation, an identity provider and a webhook.
func (r *rig) people() {
	r.t.Helper()
	ctx := r.t.Context()
	done := func(_ any, _ model.Revision, err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	done(r.admin.Groups.Create(ctx, r.key, "default", "night-shift", admin.GroupSpec{}))
	done(r.admin.Roles.Create(ctx, r.key, "default", "reader", admin.RoleSpec{Permissions: []string{"sites:read"}}))
	done(r.admin.ServiceAccounts.Create(ctx, r.key, "default", "deployer", admin.ServiceAccountSpec{Roles: []string{"member"}}))
	done(r.admin.IdentityProviders.Create(ctx, r.key, "default", "corp", admin.IdentityProviderSpec{
		Issuer: "https://id.example.org", ClientID: "warren", Provision: true, Rules: []admin.ClaimRule{{Claim: "groups", Value: "ops", Role: "admin"}, {Role: "viewer"}},
	}))
	done(r.admin.Webhooks.Create(ctx, r.key, "default", "pager", admin.WebhookSpec{URL: "https://hooks.example.org/warren", Events: []model.EventType{model.AlertFiring}}))
	if _, err := r.admin.CreateAPIKey(ctx, r.key, "laptop", admin.APIKeySpec{Organization: "default", ServiceAccount: "deployer"}); err != nil {
		r.t.Fatal(err)
	}
	in, err := r.admin.Invite(ctx, r.key, "default", "bea@example.org", admin.InvitationSpec{Roles: []string{"member"}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.made["invitation"] = in.ID
	done(r.admin.Pools.Create(ctx, r.key, "", "spare", admin.PoolSpec{}))
	done(r.admin.Regions.Create(ctx, r.key, "", "attic", admin.RegionSpec{}))
	done(r.admin.Issuers.Create(ctx, r.key, "", "zero", admin.IssuerSpec{
		DirectoryURL: "https://zero.example.org/directory", Suspended: true, EAB: &admin.EAB{KeyID: "kid-7", HMACKey: eabKey}, Profiles: map[string]string{"short": "shortlived"},
		Contacts: []string{"ops@example.org"}, Limits: admin.IssuerLimits{NewOrders: 500},
	}))
	done(r.admin.ClusterRoles.Create(ctx, r.key, "", "desk", admin.RoleSpec{Permissions: []string{"users:read"}}))
	done(r.admin.ClusterIdentityProviders.Create(ctx, r.key, "", "world", admin.IdentityProviderSpec{
		Issuer: "https://world.example.org", ClientID: "warren", Rules: []admin.ClaimRule{{Claim: "groups", Value: "acme", Role: "viewer", Organization: "default"}, {Role: "desk"}},
	}))
	mia := "mia@example.org"
	done(r.admin.Users.Create(ctx, r.key, "", mia, admin.UserSpec{}))
	done(r.admin.Members.Create(ctx, r.key, "default", mia, admin.MemberSpec{Roles: []string{"viewer"}}))
	done(r.admin.ClusterWebhooks.Create(ctx, r.key, "", "siren", admin.WebhookSpec{URL: "https://siren.example.org/"}))
	done(r.admin.ClusterAlertRules.Create(ctx, r.key, "", "gone", admin.AlertRuleSpec{Kind: model.AlertNodeDown, Mail: []string{"noc@example.org"}}))
	link, _, err := r.admin.CreateShareLink(ctx, r.key, "default", "staff", admin.ShareLinkSpec{Title: "fair"})
	if err != nil {
		r.t.Fatal(err)
	}
	token, _, err := r.admin.CreateServiceToken(ctx, r.key, "default", "staff", admin.ServiceTokenSpec{Name: "robot"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.made["link"], r.made["token"] = link.ID, token.ID
	r.visitor()
	r.labels()
}

// labels have containers at home ask for a service that is there, and for one that can't be.
func (r *rig) labels() {
	r.t.Helper()
	p := &model.Published{Services: []string{"wiki"}, Problems: []model.PublishProblem{{Connector: "pi", Container: "paperless-1", Service: "paperless", Message: "hostname: paperless.example.com is not among what the site may publish"}}}
	for s := range r.world.Get().Sites() {
		if s.Name == "home" {
			p.Site, p.Org = s.ID, s.Org
		}
	}
	if _, err := r.db.Tx(r.t.Context(), "test", func(tx *store.Tx) error { return tx.PutPublished(r.t.Context(), p) }); err != nil {
		r.t.Fatal(err)
	}
}

// visitor lets somebody visit wiki who is no member.
func (r *rig) visitor() {
	r.t.Helper()
	s := r.service("wiki")
	v := &model.Visitor{ID: model.VisitorID{}.New(), Org: s.Org, Service: s.ID, Mail: "vic@example.org", Address: netip.MustParseAddr("192.0.2.9"), Expires: time.Now().Add(time.Hour)}
	if _, err := r.db.Tx(r.t.Context(), "test", func(tx *store.Tx) error { return tx.CreateVisitor(r.t.Context(), v) }); err != nil {
		r.t.Fatal(err)
	}
	r.made["visitor"] = v.ID.String()
}

// order has the certificate of wiki be refused.
func (r *rig) order() {
	r.t.Helper()
	ctx, now, s := r.t.Context(), time.Now().UTC().Truncate(time.Microsecond), r.service("wiki")
	said := "urn:ietf:params:acme:error:rateLimited: too many certificates already issued"
	if _, err := r.db.Tx(ctx, "test", func(tx *store.Tx) error {
		le := &model.Issuer{ID: model.IssuerID{}.New(), Name: "le", DirectoryURL: "https://acme.example.org/directory"}
		v := &model.ManagedCertificate{ID: model.ManagedCertificateID{}.New(), Org: s.Org, Names: []string{s.Hostname}, KeyType: model.ECDSA, NextAttempt: now.Add(time.Hour), Wanted: true}
		r.made["managed"] = v.ID.String()
		if err := errors.Join(tx.CreateIssuer(ctx, le), tx.CreateManagedCertificate(ctx, v)); err != nil {
			return err
		}
		v.LadderStep, v.LastProblem, v.FailingSince = 3, said, now
		if err := tx.UpdateManagedCertificate(ctx, v); err != nil {
			return err
		}
		o := &model.Order{ID: model.OrderID{}.New(), Org: s.Org, Managed: v.ID, Issuer: le.ID, Names: v.Names, KeyType: v.KeyType, Certificate: model.CertificateID{}.New(), NextAttempt: now}
		if _, err := tx.CreateOrders(ctx, []*model.Order{o}, now); err != nil {
			return err
		}
		return tx.AddOrderEvents(ctx, model.OrderEvent{Order: o.ID, At: now, State: model.OrderPlanned, What: "planned with le"})
	}); err != nil {
		r.t.Fatal(err)
	}
	r.catchUp()
}

// alarm makes a rule about the error rate of wiki, which fires, and of which a mail could not be sent.
func (r *rig) alarm() {
	r.t.Helper()
	ctx, now := r.t.Context(), time.Now().UTC().Truncate(time.Microsecond)
	s := r.service("wiki")
	v, _, err := r.admin.AlertRules.Create(ctx, r.key, "default", "slow", admin.AlertRuleSpec{Kind: model.AlertErrorRate, Object: "wiki", Mail: []string{"ops@example.org"}})
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.db.Tx(ctx, "test", func(tx *store.Tx) error {
		rule, err := tx.GetAlertRuleByName(ctx, s.Org, v.Name)
		if err != nil {
			return err
		}
		a := &model.Alert{Rule: rule.ID, Org: s.Org, Object: s.ID.String(), Name: "wiki", Since: now.Add(-time.Hour), Fired: now.Add(-50 * time.Minute), Told: true, Reason: "wiki is slow"}
		if err := tx.PutAlert(ctx, a); err != nil {
			return err
		}
		e, err := model.NewEvent(model.AlertFiring, s.Org, s.ID.String(), "1", model.AlertEventData{Rule: "slow", Kind: rule.Kind, Object: a.Object, Name: a.Name, State: "firing", Reason: a.Reason}, now)
		if err != nil {
			return err
		}
		if _, err := tx.RaiseEvent(ctx, e); err != nil {
			return err
		}
		if err := tx.MailAlert(ctx, e, rule); err != nil {
			return err
		}
		return tx.NoteAlertMail(ctx, &model.AlertMail{Event: e.ID, Rule: rule.ID, Address: "ops@example.org", Attempt: 1, At: now, Problem: "the mail server is asleep"})
	}); err != nil {
		r.t.Fatal(err)
	}
}

// count has the nodes count 300 requests of wiki in the last minutes, of which 15 failed.
func (r *rig) count() {
	r.t.Helper()
	s, now := r.service("wiki"), time.Now().UTC()
	if _, err := r.db.Tx(r.t.Context(), "test", func(tx *store.Tx) error {
		v := &model.NodeTraffic{At: now.Add(-time.Minute).Truncate(model.TrafficFine), Org: s.Org, Service: s.ID, Traffic: model.Traffic{
			Requests: 300, Statuses: [6]int64{2: 280, 4: 5, 5: 15}, Failed: 15, In: 3000, Out: 600_000, Took: loglinear.Counts{Buckets: []int32{50}, Counts: []int64{300}},
		}}
		for n := range r.world.Get().Nodes() {
			v.Node = n.ID
		}
		for s := range r.world.Get().Sites() {
			if s.Name == "home" {
				v.Site = s.ID
			}
		}
		return tx.AddTraffic(r.t.Context(), []*model.NodeTraffic{v})
	}); err != nil {
		r.t.Fatal(err)
	}
}

// log has requests of the service wiki be over, one a minute, the last one just now.
func (r *rig) log(list ...*model.Request) {
	r.t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	if err := r.db.MakePartitions(r.t.Context(), now.Add(-24*time.Hour), 2); err != nil {
		r.t.Fatal(err)
	}
	s := r.service("wiki")
	for i, v := range list {
		v.ID, v.At, v.Org, v.Service, v.ServiceName = uuid.Must(uuid.NewV7()), now.Add(time.Duration(i+1-len(list))*time.Minute), s.Org, s.ID, s.Name
		v.Kind, v.Node, v.NodeName, v.SiteName, v.Client, v.Method, v.Host = model.HTTP, model.NodeID{}.New(), "edge-1", "home", netip.MustParseAddr("192.0.2.7"), "GET", s.Hostname
	}
	if _, err := r.db.Tx(r.t.Context(), "test", func(tx *store.Tx) error {
		_, err := tx.AddRequests(r.t.Context(), list)
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	r.admin.Tails.Publish(tail.Batch{Org: s.Org, Requests: list})
}

func (r *rig) service(name string) *model.Service {
	for s := range r.world.Get().Services() {
		if s.Name == name {
			return s
		}
	}
	r.t.Fatalf("no service %s", name)
	return nil
}

func tunnelTo(peer string, up bool) presence.Tunnel {
	return presence.Tunnel{Peer: peer, Up: up, LastHandshake: time.Now(), ReceivedBytes: 12_345_678, SentBytes: 987, RoundTrip: 12 * time.Millisecond, Loss: .02, Carrier: "stream", Transport: "udp"}
}
