package web

import (
	"net/http"
	"net/url"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/signin"
)

func providerTitle(title, name string) string {
	if title == "" {
		return name
	}
	return title
}

func providerURL(v *model.IdentityProvider, next string) string {
	return "/sign-in/oidc/" + v.ID.String() + "?next=" + url.QueryEscape(next)
}

// oidcBegin sends the browser to a provider. It is a link and no form, as forms may not be sent on to others.
func (p *Pages) oidcBegin(w http.ResponseWriter, r *http.Request) {
	var add *signin.Who
	if r.URL.Query().Get("add") != "" {
		who, ok := p.User(w, r)
		if !ok {
			return
		}
		add = who
	}
	to, flow, err := p.SignIn.BeginOIDC(r.Context(), client(r), r.PathValue("provider"), Local(r.URL.Query().Get("next")), add)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	http.SetCookie(w, cookie(oidcCookie, flow, flowLife))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (p *Pages) oidcBack(w http.ResponseWriter, r *http.Request) {
	drop(w, oidcCookie)
	who, err := p.who(r)
	if err != nil {
		who = nil
	}
	out, err := p.SignIn.FinishOIDC(r.Context(), client(r), value(r, oidcCookie), r.URL.Query(), who)
	switch {
	case err != nil:
		status, text := p.said(w, err)
		p.show(w, r, status, message("You are not signed in", text, "/sign-in"))
	case out.Token == "": // what he is there was added
		http.Redirect(w, r, Local(out.Next), http.StatusSeeOther)
	default:
		p.signedIn(w, r, out, out.Next)
	}
}

func (p *Pages) invitationPage(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	in, err := p.SignIn.CheckInvitation(r.Context(), client(r), token)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	who, err := p.who(r)
	if err != nil {
		if who = nil; in.Known {
			p.User(w, r) // which sends him to sign in, and back here
			return
		}
	}
	p.show(w, r, http.StatusOK, invitationView(token, in, who, "", ""))
}

func (p *Pages) invitationForm(w http.ResponseWriter, r *http.Request) {
	token, name := r.PostFormValue("token"), r.PostFormValue("name")
	who, err := p.who(r)
	var out signin.Outcome
	if err == nil {
		out.Expires = who.Session.Expires
		out.Token, err = p.SignIn.Join(r.Context(), who, client(r), token)
	} else {
		who = nil
		out, err = p.SignIn.Accept(r.Context(), client(r), token, signin.Person{Name: name, Password: r.PostFormValue("password")})
	}
	if err == nil {
		p.signedIn(w, r, out, "")
		return
	}
	in, lost := p.SignIn.CheckInvitation(r.Context(), client(r), token)
	if lost != nil {
		p.failed(w, r, lost)
		return
	}
	status, text := p.said(w, err)
	p.show(w, r, status, invitationView(token, in, who, name, text))
}
