package console

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// showSettings is what an organization has chosen, as far as the caller sees it.
func showSettings(q *Request) (*Page, error) { return q.settings(settingForms{}, 0) }

// settingForms are the forms of the page: as they were typed, or, where nothing was, as it stands.
type settingForms struct{ security, log, brand Form }

func (q *Request) settings(f settingForms, status int) (*Page, error) {
	if f.security.Values == nil && q.Can(access.SecurityRead) {
		v, err := q.Admin.Security(q.Context(), q.Who, q.scope())
		if err != nil {
			return nil, err
		}
		f.security = filled("max_session_age", v.MaxSessionAge)
		f.security.tick("require_second_factor", v.RequireSecondFactor)
	}
	if f.log.Values == nil && q.Can(access.RequestsRead) {
		v, err := q.Admin.RequestLog(q.Context(), q.Who, q.scope())
		if err != nil {
			return nil, err
		}
		f.log = filled("keep_days", strconv.Itoa(v.KeepDays))
	}
	if f.brand.Values == nil && q.Can(access.BrandingRead) {
		v, err := q.Admin.Branding(q.Context(), q.Who, q.scope())
		if err != nil {
			return nil, err
		}
		f.brand = filled("name", v.Name, "accent", v.Accent)
		f.brand.tick("has_logo", len(v.Logo) > 0)
	}
	return &Page{Title: "Settings", Status: status, Top: settingsView(q, f)}, nil
}

func changeSecurity(q *Request) (*Done, error) {
	f := formOf(q)
	_, err := q.Admin.SetSecurity(q.Context(), q.Who, q.scope(), admin.SecuritySpec{RequireSecondFactor: f.Get("require_second_factor") == "on", MaxSessionAge: f.Get("max_session_age")})
	return tried(f, err, Done{To: q.To("settings"), Said: "It holds from now on."}, func(f Form, status int) (*Page, error) { return q.settings(settingForms{security: f}, status) })
}

func changeRequestLog(q *Request) (*Done, error) {
	f := formOf(q)
	days, err := number(f, "keep_days")
	if err == nil {
		_, err = q.Admin.SetRequestLog(q.Context(), q.Who, q.scope(), admin.RequestLogSpec{KeepDays: days})
	}
	return tried(f, err, Done{To: q.To("settings"), Said: "What is older is removed within the hour."}, func(f Form, status int) (*Page, error) { return q.settings(settingForms{log: f}, status) })
}

// changeBranding keeps the logo that there is, unless another one comes, or it is to go.
func changeBranding(q *Request) (*Done, error) {
	f := formOf(q)
	v, err := q.Admin.Branding(q.Context(), q.Who, q.scope())
	if err != nil {
		return nil, err
	}
	v.Name, v.Accent = f.Get("name"), f.Get("accent")
	f.tick("has_logo", len(v.Logo) > 0)
	if f.Get("no_logo") == "on" {
		v.Logo = nil
	}
	file, _, err := q.FormFile("logo")
	switch {
	case err == nil:
		defer file.Close()
		if v.Logo, err = io.ReadAll(file); err != nil {
			return nil, err
		}
	case !errors.Is(err, http.ErrMissingFile) && !errors.Is(err, http.ErrNotMultipart):
		return nil, err
	}
	_, rev, err := q.Admin.SetBranding(q.Context(), q.Who, q.scope(), v)
	return tried(f, err, Done{To: q.To("settings"), Said: "Pages of nodes look so from now on.", Revision: rev}, func(f Form, status int) (*Page, error) { return q.settings(settingForms{brand: f}, status) })
}

// webhooks are those of the page: of the organization, or of the cluster.
func (q *Request) webhooks() *admin.Collection[model.Webhook, admin.WebhookSpec, admin.Webhook] {
	if q.inCluster() {
		return q.Admin.ClusterWebhooks
	}
	return q.Admin.Webhooks
}

func (q *Request) mayHook() bool { return q.able(access.WebhooksManage, access.ClusterWebhooksManage) }

func hookCrumbs(q *Request, more ...Crumb) []Crumb {
	return append([]Crumb{{"Webhooks", q.here("webhooks")}}, more...)
}

func listWebhooks(q *Request) (*Page, error) {
	list, err := part(q, q.webhooks().List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Webhooks", Actions: webhooksActions(q), Live: webhooksView(q, list)}, nil
}

// showWebhook is a receiver with what came of telling it.
func showWebhook(q *Request) (*Page, error) {
	v, err := q.webhooks().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	tries, err := q.Admin.WebhookAttempts(q.Context(), q.Who, q.scope(), v.ID)
	if err != nil {
		return nil, err
	}
	return &Page{Title: v.Name, Crumbs: hookCrumbs(q), Actions: webhookActions(q, v), Live: webhookView(q, v, tries)}, nil
}

func (q *Request) webhookForm(name string, f Form, status int) (*Page, error) {
	p := &Page{Title: "New webhook", Crumbs: hookCrumbs(q), Status: status, Top: webhookFormView(q, name, f)}
	if name != "" {
		p.Title, p.Crumbs = "Edit "+name, hookCrumbs(q, Crumb{name, q.here("webhooks", name)})
	}
	return p, nil
}

func newWebhook(q *Request) (*Page, error) { return q.webhookForm("", filled("enabled", "on"), 0) }

func webhookSpec(f Form) admin.WebhookSpec {
	enabled := f.Get("enabled") == "on"
	s := admin.WebhookSpec{URL: f.Get("url"), Enabled: &enabled}
	for _, e := range f.Values["events"] {
		s.Events = append(s.Events, model.EventType(e))
	}
	return s
}

func createWebhook(q *Request) (*Done, error) {
	f := formOf(q)
	v, _, err := q.webhooks().Create(q.Context(), q.Who, q.scope(), f.Get("name"), webhookSpec(f))
	return tried(f, err, Done{Page: q.signingKey(v)}, func(f Form, status int) (*Page, error) { return q.webhookForm("", f, status) })
}

func (q *Request) signingKey(v admin.Webhook) *Page {
	back := q.here("webhooks", v.Name)
	return &Page{Title: "The signing key", Crumbs: hookCrumbs(q, Crumb{v.Name, back}), Top: secret("The receiver checks with this key that events are ours (standardwebhooks.com).", v.Secret, back)}
}

func editWebhook(q *Request) (*Page, error) {
	v, err := q.webhooks().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := filled("url", v.URL)
	for _, e := range v.Events {
		f.Add("events", string(e))
	}
	f.tick("enabled", v.Enabled)
	return q.keeping(v.ManagedBy)(q.webhookForm(v.Name, f, 0))
}

func changeWebhook(q *Request) (*Done, error) {
	v, err := q.webhooks().Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	_, _, _, err = q.webhooks().Put(q.Context(), q.Who, q.scope(), v.ID, webhookSpec(f))
	return tried(f, err, Done{To: q.here("webhooks", v.Name), Said: "The webhook " + v.Name + " is changed."}, func(f Form, status int) (*Page, error) { return q.webhookForm(v.Name, f, status) })
}

func testWebhook(q *Request) (*Done, error) {
	name := q.PathValue("name")
	_, err := q.Admin.TestWebhook(q.Context(), q.Who, q.scope(), name)
	return &Done{To: q.here("webhooks", name), Said: "An event is on its way. What comes of it is listed below."}, err
}

func rotateWebhook(q *Request) (*Done, error) {
	v, err := q.Admin.RotateWebhookSecret(q.Context(), q.Who, q.scope(), q.PathValue("name"))
	return &Done{Page: q.signingKey(v)}, err
}

func (c *Console) settingRoutes(org, cluster string) {
	c.page(org+"/settings", access.StatusRead, showSettings)
	c.form(org+"/settings/security", access.SecurityManage, changeSecurity)
	c.form(org+"/settings/branding", access.BrandingWrite, changeBranding)
	c.form(org+"/settings/request-log", access.RequestsManage, changeRequestLog)
	hookName := func(v admin.Webhook) string { return v.Name }
	gone := removal{noun: "webhook", list: "webhooks", title: "Webhooks", warning: "What waits to be told is forgotten."}
	c.webhookRoutes(org, access.WebhooksRead, access.WebhooksManage, removalOf(c.Admin.Webhooks, hookName, gone))
	c.webhookRoutes(cluster, access.ClusterWebhooksRead, access.ClusterWebhooksManage, removalOf(c.Admin.ClusterWebhooks, hookName, gone))
}

func (c *Console) webhookRoutes(at string, read, write access.Permission, r removal) {
	c.page(at+"/webhooks", read, listWebhooks)
	c.page(at+"/new-webhook", write, newWebhook)
	c.form(at+"/new-webhook", write, createWebhook)
	c.page(at+"/webhooks/{name}", read, showWebhook)
	c.page(at+"/webhooks/{name}/edit", write, editWebhook)
	c.form(at+"/webhooks/{name}/edit", write, changeWebhook)
	c.form(at+"/webhooks/{name}/test", write, testWebhook)
	c.form(at+"/webhooks/{name}/rotate", write, rotateWebhook)
	c.removable(at+"/webhooks/{name}", write, r)
}
