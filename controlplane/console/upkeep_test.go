package console

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/mail/mailtest"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// A test message is sent from the page, which says what the server said; what is typed wrongly is refused at the field.
func TestMailPage(t *testing.T) {
	r := newRig(t)
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	const at = "/console/cluster/settings"
	post := func(server string) *mail.Mailer {
		m, err := mail.New(mail.Options{Log: slog.New(slog.DiscardHandler), Reg: prometheus.NewRegistry(), Server: server, Security: mail.Plain, From: "Warren <warren@example.org>"})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	server := mailtest.Start(t)
	r.admin.Post = post(server.Addr)
	if got := b.get(at); !strings.Contains(got.body, server.Addr) || !strings.Contains(got.body, `value="root@example.org"`) {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at+"/mail", "to", "ops@example.org"); got.status != 200 || !strings.Contains(got.body, "has taken a message to ops@example.org") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if m := server.Next(t); m.To != "ops@example.org" || !strings.Contains(m.Text, "root@example.org asked") {
		t.Errorf("%+v", m)
	}
	if got := b.post(at+"/mail", "to", "nobody"); got.status != 422 || !strings.Contains(got.body, `id="w-to"`) || !strings.Contains(got.body, `value="nobody"`) {
		t.Errorf("%d: %s", got.status, got.body)
	}
	r.admin.Post = deaf{post(server.Addr)}
	if got := b.post(at+"/mail", "to", "ops@example.org"); got.status != 200 || !strings.Contains(got.body, "Nothing was sent to ops@example.org: 550") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	r.admin.Post = post("")
	if got := b.get(at); !strings.Contains(got.body, "No mail is sent") || strings.Contains(got.body, "Send a test") {
		t.Errorf("%d: %s", got.status, got.body)
	}
	if got := b.post(at+"/mail", "to", "ops@example.org"); got.status != 409 {
		t.Errorf("without a server: %d", got.status)
	}
}

// deaf is a mail server that takes nothing.
type deaf struct{ admin.Post }

func (deaf) SendNow(context.Context, mail.Message) error { return errors.New("550 no such mailbox") }

// The page says which nodes have databases of addresses, which are old, and what it means to have none.
func TestPlacesPage(t *testing.T) {
	r := newRig(t)
	b := r.browser(r.user("root@example.org", "cluster-admin", "", ""))
	page := func() string { return b.get("/console/cluster/settings").body }
	if got := page(); !strings.Contains(got, "No node has a database") || !strings.Contains(got, "geoip:") {
		t.Errorf("%s", got)
	}
	r.furnish()
	edge := presence.Key{Kind: identity.Node, ID: r.nodeID("edge-1")}
	say := func(files ...presence.PlacesFile) {
		r.report(presence.Entry{Key: edge, Applied: r.world.Get().Revision(), Places: files})
	}
	now := time.Now()
	for name, c := range map[string]struct {
		file         presence.PlacesFile
		shows, hides string
	}{
		"a new one":  {presence.PlacesFile{Path: "/c.mmdb", Kind: "Country", Built: now.Add(-50 * time.Hour), Countries: true}, "2 days ago", ">old<"},
		"an old one": {presence.PlacesFile{Path: "/a.mmdb", Kind: "ASN", Built: now.Add(-300 * 24 * time.Hour), Networks: true}, ">old<", "not in use"},
		"a torn one": {presence.PlacesFile{Path: "/c.mmdb", Problem: "it is torn"}, "it is torn", ">old<"},
	} {
		say(c.file)
		if got := page(); !strings.Contains(got, c.shows) || strings.Contains(got, c.hides) {
			t.Errorf("%s: %s", name, got)
		}
	}
	r.join("edge-2", "")
	r.report(presence.Entry{Key: presence.Key{Kind: identity.Node, ID: r.nodeID("edge-2")}, Applied: r.world.Get().Revision()})
	if got := page(); !strings.Contains(got, "Without a database: edge-2.") {
		t.Errorf("%s", got)
	}
	_, _, rev, err := r.admin.Policies.Put(t.Context(), r.key, "default", "staff", admin.PolicySpec{Rules: []admin.PolicyRule{{Action: "deny", Unless: &admin.PolicyConditions{Countries: []string{"CH"}}}}})
	r.must(rev, err)
	if got := page(); !strings.Contains(got, "asked about by 1 policy, autonomous systems by 0 policies") {
		t.Errorf("%s", got)
	}
}

// What PostgreSQL says of its archive is put into words.
func TestBackupsSaid(t *testing.T) {
	now := time.Now()
	hour := now.Add(-time.Hour)
	for name, c := range map[string]struct {
		of    admin.Backups
		badge string
		text  string
	}{
		"none":    {admin.Backups{}, "no", "only to the last copy"},
		"not yet": {admin.Backups{Archiving: true}, "not yet", "as soon as"},
		"well":    {admin.Backups{Archiving: true, ArchivedAt: &hour}, "yes", "last 1 hour ago"},
		"failed":  {admin.Backups{Archiving: true, ArchivedAt: &hour, ArchiveFailedAt: &now}, "fails", "just now, failed"},
	} {
		if got := archiveBadge(c.of); got.Text != c.badge {
			t.Errorf("%s: %+v", name, got)
		}
		if got := archived(now, c.of); !strings.Contains(got, c.text) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
