package console

import (
	"bytes"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

// send posts a form in which fields may come more than once.
func (b *browser) send(path string, v url.Values) reply {
	b.r.t.Helper()
	return b.do("POST", path, "application/x-www-form-urlencoded", v.Encode())
}

// People are invited, given roles, put into groups and taken out, by forms alone.
func TestPeople(t *testing.T) {
	r := newRig(t)
	r.furnish()
	r.user("cid@example.org", "", "default", "viewer")
	b := r.browser(r.user("ann@example.org", "", "default", "admin"))
	const at = "/console/orgs/default/"
	if got := b.send(at+"invite", url.Values{"name": {"dan@example.org"}, "roles": {"member", "viewer"}}); got.status != 200 || !strings.Contains(got.body, "https://example.com/") || !strings.Contains(got.body, "never again") {
		t.Errorf("%d %s", got.status, got.body)
	}
	for field, v := range map[string]url.Values{"roles": {"name": {"dan@example.org"}}, "name": {"name": {"nobody"}, "roles": {"member"}}} {
		if got := b.send(at+"invite", v); got.status != 422 || field == "roles" && !strings.Contains(got.body, `id="w-roles"`) {
			t.Errorf("%s: %d %s", field, got.status, got.body)
		}
	}
	if got := b.send(at+"invite", url.Values{"name": {"eve@example.org"}, "roles": {"owner"}}); got.status != 403 {
		t.Errorf("an administrator makes an owner: %d", got.status)
	}
	if got := b.send(at+"members/cid@example.org/edit", url.Values{"roles": {"reader", "member"}}); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if v, err := r.admin.Members.Get(t.Context(), r.key, "default", "cid@example.org"); err != nil || len(v.Roles) != 2 {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.post(at+"groups/night-shift/edit", "users", "cid@example.org\nann@example.org"); got.status != 200 || !strings.Contains(got.body, "ann@example.org, cid@example.org") && !strings.Contains(got.body, "cid@example.org, ann@example.org") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post(at+"new-group", "name", "day-shift", "users", "stranger@example.org"); got.status != 422 || !strings.Contains(got.body, `id="w-users"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.send(at+"roles/reader/edit", url.Values{"permissions": {"sites:read", "services:read"}}); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if v, err := r.admin.Roles.Get(t.Context(), r.key, "default", "reader"); err != nil || strings.Join(v.Permissions, " ") != "services:read sites:read" {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.send(at+"new-role", url.Values{"name": {"thief"}, "permissions": {"security:manage"}}); got.status != 403 {
		t.Errorf("a role that may more than its maker: %d", got.status)
	}
	if got := b.post(at + "members/cid@example.org/delete"); got.status != 200 || strings.Contains(got.body, ">cid@example.org<") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Who manages the users of the cluster changes and disables them, and ends their sessions.
func TestUsers(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b, cid := r.browser(r.user("root@example.org", "cluster-admin", "", "")), r.browser(r.user("cid@example.org", "", "default", "viewer"))
	const at = "/console/cluster/users"
	if got := b.post(at + "/cid@example.org/sign-out"); got.status != 200 || !strings.Contains(got.body, "are over") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := cid.get("/console/orgs/default/"); got.path != "/sign-in" {
		t.Errorf("he goes on: %s", got.path)
	}
	if got := b.post(at+"/cid@example.org/edit", "display_name", "Cid", "cluster_role", "cluster-viewer", "disabled", "on"); got.status != 200 || !strings.Contains(got.body, "disabled") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if v, err := r.admin.Users.Get(t.Context(), r.key, "", "cid@example.org"); err != nil || v.DisplayName != "Cid" || v.ClusterRole != "cluster-viewer" || !v.Disabled {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.post(at+"/cid@example.org/edit", "cluster_role", "king"); got.status != 422 || !strings.Contains(got.body, `id="w-cluster_role"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// The key of a service account is shown once; a deleted one is gone.
func TestAccounts(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "admin"))
	const at = "/console/orgs/default/"
	if got := b.send(at+"new-service-account", url.Values{"name": {"backup"}, "roles": {"viewer"}}); got.status != 200 || got.path != at+"service-accounts/backup" {
		t.Fatalf("%d %s", got.status, got.body)
	}
	got := b.post(at+"service-accounts/backup/new-key", "name", "cron", "life", "24h", "allow", "192.0.2.0/24")
	if got.status != 200 || !strings.Contains(got.body, "wrn_key_") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := b.post(at+"service-accounts/backup/new-key", "name", "cron2", "life", "24h", "allow", "home"); got.status != 422 || !strings.Contains(got.body, `id="w-allow"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.get(at + "service-accounts/backup"); !strings.Contains(got.body, "cron") || strings.Contains(got.body, "wrn_key_") || strings.Contains(got.body, "laptop") {
		t.Error(got.body)
	}
	if got := b.post(at + "keys/cron/delete"); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.get(at + "service-accounts/backup"); !strings.Contains(got.body, "No key") {
		t.Error(got.body)
	}
}

// Settings and webhooks are what was typed, and a signing key is shown once.
func TestSettings(t *testing.T) {
	r := newRig(t)
	r.furnish()
	b := r.browser(r.user("ann@example.org", "", "default", "owner"))
	const at = "/console/orgs/default/"
	if got := b.post(at+"settings/security", "max_session_age", "a while"); got.status != 422 || !strings.Contains(got.body, `id="w-max_session_age"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post(at+"settings/security", "require_second_factor", "on", "max_session_age", "12h"); got.status != 200 || !strings.Contains(got.body, `value="12h0m0s"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	_ = parts.WriteField("name", "Acme")
	_ = parts.WriteField("accent", "#0a5fd7")
	file, _ := parts.CreateFormFile("logo", "logo.gif")
	logo := []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")
	_, _ = file.Write(logo)
	_ = parts.Close()
	if got := b.do("POST", at+"settings/branding", parts.FormDataContentType(), form.String()); got.status != 200 || !strings.Contains(got.body, "No logo any more") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post(at+"settings/branding", "name", "Acme", "accent", "blue"); got.status != 422 || !strings.Contains(got.body, `id="w-accent"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	b.post(at+"settings/branding", "name", "Acme & Sons", "accent", "#0a5fd7")
	if v, err := r.admin.Branding(t.Context(), r.key, "default"); err != nil || v.Name != "Acme & Sons" || !bytes.Equal(v.Logo, logo) {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.post(at+"settings/request-log", "keep_days", "900"); got.status != 422 || !strings.Contains(got.body, `id="w-keep_days"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	b.post(at+"settings/request-log", "keep_days", "30")
	if v, err := r.admin.RequestLog(t.Context(), r.key, "default"); err != nil || v.KeepDays != 30 {
		t.Errorf("%+v %v", v, err)
	}
	got := b.send(at+"new-webhook", url.Values{"name": {"chat"}, "url": {"https://chat.example.org/x"}, "events": {"alert.firing", "alert.resolved"}, "enabled": {"on"}})
	if got.status != 200 || !strings.Contains(got.body, "whsec_") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post(at+"webhooks/chat/edit", "url", "https://chat.example.org/y"); got.status != 200 || !strings.Contains(got.body, "all events") || strings.Contains(got.body, "whsec_") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if v, err := r.admin.Webhooks.Get(t.Context(), r.key, "default", "chat"); err != nil || v.Enabled || v.URL != "https://chat.example.org/y" {
		t.Errorf("%+v %v", v, err)
	}
	if got := b.post(at + "webhooks/chat/rotate"); !strings.Contains(got.body, "whsec_") {
		t.Errorf("%d %s", got.status, got.body)
	}
	rules := []admin.ClaimRule{{Claim: "groups", Value: "a:b", Role: "admin"}, {Role: "viewer"}, {Role: "viewer", Organization: "acme"}, {Claim: "team", Value: "in x", Role: "owner", Organization: "acme"}}
	if s, err := providerSpec(filled("rules", claimRules(admin.IdentityProvider{Rules: rules}))); err != nil || !slices.Equal(s.Rules, rules) {
		t.Errorf("%+v %v", s, err)
	}
}
