package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
)

func itoa(n int) string { return strconv.Itoa(n) }

func (p *Pages) signInPage(w http.ResponseWriter, r *http.Request) {
	next := r.URL.Query().Get("next")
	if next == "" {
		next = "/"
	}
	if _, err := p.who(r); err == nil {
		http.Redirect(w, r, Local(next), http.StatusSeeOther)
		return
	}
	f, err := p.form(r, next)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, signInView(f, "", ""))
}

// signInForm is what a sign-in page can offer.
type signInForm struct {
	Next      string
	Org       string // whose providers are shown as well
	Passkeys  bool
	Mail      bool
	Providers []*model.IdentityProvider
}

func (p *Pages) form(r *http.Request, next string) (signInForm, error) {
	if next == "" {
		next = "/"
	}
	f := signInForm{Next: Local(next), Org: r.FormValue("org"), Passkeys: p.SignIn.Passkeys(), Mail: p.SignIn.Mail.Works()}
	var err error
	f.Providers, err = p.SignIn.Providers(r.Context(), f.Org)
	return f, err
}

// signInAgain shows the sign-in page with why it is shown again.
func (p *Pages) signInAgain(w http.ResponseWriter, r *http.Request, next, email string, why error) {
	f, err := p.form(r, next)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	status, text := p.said(w, why)
	p.show(w, r, status, signInView(f, email, text))
}

func (p *Pages) signInPost(w http.ResponseWriter, r *http.Request) {
	email, next := r.PostFormValue("email"), r.PostFormValue("next")
	out, err := p.SignIn.Password(r.Context(), client(r), email, r.PostFormValue("password"))
	switch {
	case err != nil:
		p.signInAgain(w, r, next, email, err)
	case out.Flow != "":
		http.SetCookie(w, cookie(codeCookie, out.Flow, flowLife))
		http.Redirect(w, r, "/sign-in/code?next="+url.QueryEscape(Local(next)), http.StatusSeeOther)
	default:
		p.signedIn(w, r, out, next)
	}
}

func (p *Pages) codePage(w http.ResponseWriter, r *http.Request) {
	if value(r, codeCookie) == "" {
		http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
		return
	}
	p.show(w, r, http.StatusOK, codeView(Local(r.URL.Query().Get("next")), ""))
}

func (p *Pages) codeForm(w http.ResponseWriter, r *http.Request) {
	next := r.PostFormValue("next")
	out, err := p.SignIn.SecondFactor(r.Context(), client(r), value(r, codeCookie), r.PostFormValue("code"))
	if err != nil {
		if errors.Is(err, signin.ErrOver) {
			drop(w, codeCookie)
			p.signInAgain(w, r, next, "", err)
			return
		}
		status, text := p.said(w, err)
		p.show(w, r, status, codeView(Local(next), text))
		return
	}
	drop(w, codeCookie)
	p.signedIn(w, r, out, next)
}

// answer is what scripts get.
func (p *Pages) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (p *Pages) answerError(w http.ResponseWriter, err error) {
	status, text := p.said(w, err)
	p.answer(w, status, map[string]string{"error": text})
}

func (p *Pages) passkeyOptions(w http.ResponseWriter, r *http.Request) {
	options, flow, err := p.SignIn.BeginPasskey(r.Context(), client(r))
	if err != nil {
		p.answerError(w, err)
		return
	}
	http.SetCookie(w, cookie(passkeyCookie, flow, flowLife))
	p.answer(w, http.StatusOK, json.RawMessage(options))
}

func (p *Pages) passkeyAnswer(w http.ResponseWriter, r *http.Request) {
	said, err := io.ReadAll(r.Body)
	if err != nil {
		p.answer(w, http.StatusBadRequest, map[string]string{"error": "too long"})
		return
	}
	drop(w, passkeyCookie)
	out, err := p.SignIn.Passkey(r.Context(), client(r), value(r, passkeyCookie), said)
	if err != nil {
		p.answerError(w, err)
		return
	}
	p.setSession(w, out.Token, out.Expires)
	p.answer(w, http.StatusOK, map[string]string{"location": Local(r.URL.Query().Get("next"))})
}

func (p *Pages) signOut(w http.ResponseWriter, r *http.Request) {
	if who, err := p.who(r); err == nil {
		if err := p.SignIn.SignOut(r.Context(), who, client(r)); err != nil {
			p.failed(w, r, err)
			return
		}
	}
	drop(w, p.Cookie)
	p.show(w, r, http.StatusOK, message("Signed out", "You are signed out here.", "/sign-in"))
}

func (p *Pages) setupPage(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	if err := p.SignIn.CheckSetup(r.Context(), client(r), token); err != nil {
		p.failed(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, setupView(personForm{Token: token}, ""))
}

// personForm is what somebody has typed who becomes a user.
type personForm struct{ Token, Email, Name string }

func (p *Pages) setupForm(w http.ResponseWriter, r *http.Request) {
	f := personForm{r.PostFormValue("token"), r.PostFormValue("email"), r.PostFormValue("name")}
	out, err := p.SignIn.Setup(r.Context(), client(r), f.Token, signin.Person{Email: f.Email, Name: f.Name, Password: r.PostFormValue("password")})
	if err != nil {
		status, text := p.said(w, err)
		p.show(w, r, status, setupView(f, text))
		return
	}
	p.signedIn(w, r, out, "")
}

func (p *Pages) forgotPage(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, http.StatusOK, forgotView(p.SignIn.Mail.Works(), ""))
}

func (p *Pages) forgotForm(w http.ResponseWriter, r *http.Request) {
	if err := p.SignIn.ForgotPassword(r.Context(), client(r), r.PostFormValue("email")); err != nil {
		status, text := p.said(w, err)
		p.show(w, r, status, forgotView(p.SignIn.Mail.Works(), text))
		return
	}
	p.show(w, r, http.StatusOK, message("Look into your mail", "If there is an account with this address, a link is on its way to it. It is good for 30 minutes.", "/sign-in"))
}

func (p *Pages) resetPage(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	u, err := p.SignIn.CheckReset(r.Context(), client(r), token)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, resetView(token, u.Email, ""))
}

func (p *Pages) resetForm(w http.ResponseWriter, r *http.Request) {
	token := r.PostFormValue("token")
	err := p.SignIn.Reset(r.Context(), client(r), token, r.PostFormValue("password"))
	if err != nil {
		status, text := p.said(w, err)
		p.show(w, r, status, resetView(token, r.PostFormValue("email"), text))
		return
	}
	drop(w, p.Cookie)
	p.show(w, r, http.StatusOK, message("Your password is changed", "All sessions are ended. Sign in with the new password.", "/sign-in"))
}

func (p *Pages) devicePage(w http.ResponseWriter, r *http.Request) {
	who, ok := p.User(w, r)
	if !ok {
		return
	}
	code := r.URL.Query().Get("code")
	if code == "" {
		p.show(w, r, http.StatusOK, deviceView(who, "", nil, ""))
		return
	}
	v, err := p.SignIn.FindDevice(r.Context(), who, code)
	if err != nil {
		status, text := p.said(w, err)
		p.show(w, r, status, deviceView(who, code, nil, text))
		return
	}
	p.show(w, r, http.StatusOK, deviceView(who, code, v, ""))
}

func (p *Pages) deviceForm(w http.ResponseWriter, r *http.Request) {
	who, ok := p.User(w, r)
	if !ok {
		return
	}
	code, yes := r.PostFormValue("code"), r.PostFormValue("answer") == "approve"
	if err := p.SignIn.AnswerDevice(r.Context(), who, client(r), code, yes); err != nil {
		status, text := p.said(w, err)
		p.show(w, r, status, deviceView(who, code, nil, text))
		return
	}
	text := "The command line is not signed in."
	if yes {
		text = "The command line is signed in as " + who.User.Email + ". You can close this page."
	}
	p.show(w, r, http.StatusOK, message("Done", text, "/account"))
}
