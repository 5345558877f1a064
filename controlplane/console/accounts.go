package console

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
)

func listAccounts(q *Request) (*Page, error) {
	list, err := part(q, q.Admin.ServiceAccounts.List)
	if err != nil {
		return nil, err
	}
	return &Page{Title: "Service accounts", Actions: newAction(q, access.ServiceAccountsManage, "new-service-account", "New service account"), Top: q.peopleTop(), Live: accountsView(q, list)}, nil
}

func (q *Request) accountNamed() (admin.ServiceAccount, error) {
	return q.Admin.ServiceAccounts.Get(q.Context(), q.Who, q.scope(), q.PathValue("name"))
}

func accountCrumbs(q *Request, more ...Crumb) []Crumb {
	return append([]Crumb{{"Service accounts", q.To("service-accounts")}}, more...)
}

// showAccount is a service account with its keys.
func showAccount(q *Request) (*Page, error) {
	v, err := q.accountNamed()
	if err != nil {
		return nil, err
	}
	var keys []admin.APIKey
	if q.Can(access.KeysRead) {
		all, err := everyOf(q, q.Admin.OrgAPIKeys.List)
		if err != nil {
			return nil, err
		}
		for _, k := range all {
			if k.ServiceAccount == v.Name {
				keys = append(keys, k)
			}
		}
	}
	return &Page{Title: v.Name, Crumbs: accountCrumbs(q), Actions: accountActions(q, v), Live: accountView(q, v, keys)}, nil
}

func (q *Request) accountForm(name string, f Form, status int) (*Page, error) {
	roles, err := q.roleOptions()
	if err != nil {
		return nil, err
	}
	p := &Page{Title: "New service account", Crumbs: accountCrumbs(q), Status: status, Top: accountFormView(q, name, f, roles)}
	if name != "" {
		p.Title, p.Crumbs = "Edit "+name, accountCrumbs(q, Crumb{name, q.To("service-accounts", name)})
	}
	return p, nil
}

func newAccount(q *Request) (*Page, error) { return q.accountForm("", filled("roles", "viewer"), 0) }

func accountSpec(f Form) (admin.ServiceAccountSpec, error) {
	return admin.ServiceAccountSpec{Roles: f.Values["roles"], Disabled: f.Get("disabled") == "on"}, someRole(f)
}

func createAccount(q *Request) (*Done, error) {
	f := formOf(q)
	spec, err := accountSpec(f)
	if err == nil {
		_, _, err = q.Admin.ServiceAccounts.Create(q.Context(), q.Who, q.scope(), f.Get("name"), spec)
	}
	return tried(f, err, Done{To: q.To("service-accounts", f.Get("name")), Said: "The service account is there. It acts by its keys."}, func(f Form, status int) (*Page, error) { return q.accountForm("", f, status) })
}

func editAccount(q *Request) (*Page, error) {
	v, err := q.accountNamed()
	if err != nil {
		return nil, err
	}
	f := filled()
	f.Values["roles"] = v.Roles
	f.tick("disabled", v.Disabled)
	return q.accountForm(v.Name, f, 0)
}

func changeAccount(q *Request) (*Done, error) {
	v, err := q.accountNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec, err := accountSpec(f)
	if err == nil {
		_, _, _, err = q.Admin.ServiceAccounts.Put(q.Context(), q.Who, q.scope(), v.ID, spec)
	}
	return tried(f, err, Done{To: q.To("service-accounts", v.Name), Said: "The service account " + v.Name + " is changed."}, func(f Form, status int) (*Page, error) { return q.accountForm(v.Name, f, status) })
}

func (q *Request) keyForm(v admin.ServiceAccount, f Form, status int) (*Page, error) {
	return &Page{Title: "New key", Crumbs: accountCrumbs(q, Crumb{v.Name, q.To("service-accounts", v.Name)}), Status: status, Top: keyFormView(q, v, f)}, nil
}

func newKey(q *Request) (*Page, error) {
	v, err := q.accountNamed()
	if err != nil {
		return nil, err
	}
	return q.keyForm(v, filled("life", "8760h"), 0)
}

func createKey(q *Request) (*Done, error) {
	v, err := q.accountNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec := admin.APIKeySpec{Organization: q.scope(), ServiceAccount: v.ID, Allow: f.lines("allow")}
	var made admin.APIKey
	if spec.ExpiresAt, err = q.until(f); err == nil {
		made, err = q.Admin.CreateAPIKey(q.Context(), q.Who, f.Get("name"), spec)
	}
	back := q.To("service-accounts", v.Name)
	once := &Page{Title: "The key", Crumbs: accountCrumbs(q, Crumb{v.Name, back}), Top: secret("A program that has this key may what "+v.Name+" may.", made.Secret, back)}
	return tried(f, err, Done{Page: once}, func(f Form, status int) (*Page, error) { return q.keyForm(v, f, status) })
}

func (c *Console) accountRoutes(org string) {
	c.page(org+"/service-accounts", access.ServiceAccountsRead, listAccounts)
	c.page(org+"/new-service-account", access.ServiceAccountsManage, newAccount)
	c.form(org+"/new-service-account", access.ServiceAccountsManage, createAccount)
	at := org + "/service-accounts/{name}"
	c.page(at, access.ServiceAccountsRead, showAccount)
	c.page(at+"/edit", access.ServiceAccountsManage, editAccount)
	c.form(at+"/edit", access.ServiceAccountsManage, changeAccount)
	c.removable(at, access.ServiceAccountsManage, removalOf(c.Admin.ServiceAccounts, func(v admin.ServiceAccount) string { return v.Name },
		removal{noun: "service account", list: "service-accounts", title: "Service accounts", warning: "Its keys are good for nothing."}))
	c.page(at+"/new-key", access.KeysManage, newKey)
	c.form(at+"/new-key", access.KeysManage, createKey)
	c.removable(org+"/keys/{name}", access.KeysManage, removalOf(c.Admin.OrgAPIKeys, func(v admin.APIKey) string { return v.Name },
		removal{noun: "key", list: "service-accounts", title: "Service accounts", warning: "Whoever uses it is refused at once."}))
}
