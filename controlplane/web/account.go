package web

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"rsc.io/qr"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
)

// accountRoutes are a user's own pages.
func (p *Pages) accountRoutes(get, post func(string, http.HandlerFunc)) {
	get("/account", p.mine(p.accountPage))
	get("/account/app", p.mine(p.appPage))
	get("/account/app.png", p.mine(p.appPicture))
	post("/account/password", p.mine(p.passwordForm))
	post("/account/app", p.mine(p.appForm))
	post("/account/app/confirm", p.mine(p.appConfirmForm))
	post("/account/app/remove", p.mine(p.appRemoveForm))
	post("/account/backup-codes", p.mine(p.backupForm))
	post("/account/passkeys/options", p.mine(p.newPasskeyOptions))
	post("/account/passkeys", p.mine(p.newPasskey))
	post("/account/passkeys/remove", p.mine(p.passkeyRemoveForm))
	post("/account/identities/remove", p.mine(p.identityRemoveForm))
	post("/account/sessions/end", p.mine(p.sessionEndForm))
}

// mine is a page of who is signed in.
func (p *Pages) mine(h func(http.ResponseWriter, *http.Request, *signin.Who)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if who, ok := p.User(w, r); ok {
			h(w, r, who)
		}
	}
}

func (p *Pages) accountPage(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	p.account(w, r, who, http.StatusOK, "", "")
}

// account shows a user's page, with what was done or why it was not.
func (p *Pages) account(w http.ResponseWriter, r *http.Request, who *signin.Who, status int, done, wrong string) {
	o, err := p.SignIn.Overview(r.Context(), who)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	providers, err := p.SignIn.Providers(r.Context(), "")
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.show(w, r, status, accountView(who, o, p.SignIn.Passkeys(), providers, done, wrong))
}

// told shows a user's page after a form.
func (p *Pages) told(w http.ResponseWriter, r *http.Request, who *signin.Who, done string, err error) {
	if err != nil {
		status, text := p.said(w, err)
		p.account(w, r, who, status, "", text)
		return
	}
	p.account(w, r, who, http.StatusOK, done, "")
}

func (p *Pages) passwordForm(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	token, err := p.SignIn.ChangePassword(r.Context(), who, client(r), r.PostFormValue("current"), r.PostFormValue("password"))
	if err == nil {
		p.setSession(w, token, who.Session.Expires)
	}
	p.told(w, r, who, "Your password is changed, and your other sessions are ended.", err)
}

func (p *Pages) appForm(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	if err := p.SignIn.BeginApp(r.Context(), who, client(r), r.PostFormValue("current")); err != nil {
		p.told(w, r, who, "", err)
		return
	}
	http.Redirect(w, r, "/account/app", http.StatusSeeOther)
}

func (p *Pages) appPage(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	p.app(w, r, who, http.StatusOK, "")
}

func (p *Pages) app(w http.ResponseWriter, r *http.Request, who *signin.Who, status int, wrong string) {
	text, _, err := p.SignIn.App(r.Context(), who)
	if err != nil {
		p.told(w, r, who, "", err)
		return
	}
	p.show(w, r, status, appView(who, text, wrong))
}

func (p *Pages) appPicture(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	_, uri, err := p.SignIn.App(r.Context(), who)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	code, err := qr.Encode(uri, qr.M)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	code.Scale = 5
	w.Header().Set("Content-Type", "image/png")
	_, _ = w.Write(code.PNG())
}

func (p *Pages) appConfirmForm(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	token, codes, err := p.SignIn.FinishApp(r.Context(), who, client(r), r.PostFormValue("code"))
	if err != nil {
		status, text := p.said(w, err)
		p.app(w, r, who, status, text)
		return
	}
	p.setSession(w, token, who.Session.Expires)
	p.show(w, r, http.StatusOK, backupView(who, codes))
}

func (p *Pages) appRemoveForm(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	err := p.SignIn.RemoveApp(r.Context(), who, client(r), r.PostFormValue("current"))
	p.told(w, r, who, "The authenticator app and its backup codes are removed.", err)
}

func (p *Pages) backupForm(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	codes, err := p.SignIn.NewBackupCodes(r.Context(), who, client(r), r.PostFormValue("current"))
	if err != nil {
		p.told(w, r, who, "", err)
		return
	}
	p.show(w, r, http.StatusOK, backupView(who, codes))
}

func (p *Pages) newPasskeyOptions(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	options, flow, err := p.SignIn.BeginNewPasskey(r.Context(), who, client(r), r.PostFormValue("current"))
	if err != nil {
		p.answerError(w, err)
		return
	}
	http.SetCookie(w, cookie(passkeyCookie, flow, flowLife))
	p.answer(w, http.StatusOK, json.RawMessage(options))
}

func (p *Pages) newPasskey(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	said, err := io.ReadAll(r.Body)
	if err != nil {
		p.answer(w, http.StatusBadRequest, map[string]string{"error": "too long"})
		return
	}
	drop(w, passkeyCookie)
	token, err := p.SignIn.NewPasskey(r.Context(), who, client(r), value(r, passkeyCookie), r.URL.Query().Get("name"), said)
	if err != nil {
		p.answerError(w, err)
		return
	}
	p.setSession(w, token, who.Session.Expires)
	p.answer(w, http.StatusOK, map[string]string{"location": "/account"})
}

func (p *Pages) passkeyRemoveForm(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	id, err := model.PasskeyID{}.Parse(r.PostFormValue("id"))
	if err != nil {
		err = fault.New(fault.NotFound, "no such passkey")
	} else {
		err = p.SignIn.RemovePasskey(r.Context(), who, client(r), r.PostFormValue("current"), id)
	}
	p.told(w, r, who, "The passkey is removed.", err)
}

func (p *Pages) identityRemoveForm(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	err := p.SignIn.RemoveIdentity(r.Context(), who, client(r), r.PostFormValue("current"), r.PostFormValue("id"))
	p.told(w, r, who, "The account is removed here.", err)
}

func (p *Pages) sessionEndForm(w http.ResponseWriter, r *http.Request, who *signin.Who) {
	if r.PostFormValue("id") == "others" {
		p.told(w, r, who, "All other sessions are ended.", p.SignIn.EndOthers(r.Context(), who, client(r)))
		return
	}
	id, err := model.SessionID{}.Parse(r.PostFormValue("id"))
	if err != nil {
		err = fault.New(fault.NotFound, "no such session")
	} else {
		err = p.SignIn.EndSession(r.Context(), who, client(r), id)
	}
	p.told(w, r, who, "The session is ended.", err)
}

// when is a time as a page shows it.
func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}
