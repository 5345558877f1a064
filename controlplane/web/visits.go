package web

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/visit"
)

// Where who visits a service asks for a code, and types it.
const (
	pathMail     = "/access/mail"
	pathMailCode = "/access/mail/code"
)

// visitRoutes are the pages to which nodes send those who want to visit a service.
func (p *Pages) visitRoutes(get, post func(string, http.HandlerFunc)) {
	get(visit.KeysPath, p.keySet)
	get(visit.AuthorizePath, p.authorize)
	post(pathMail, p.mailForm)
	post(pathMailCode, p.mailCodeForm)
}

// door is what somebody is shown who wants to visit a service and is not let in as he is.
type door struct {
	visit.Wanted
	Who    *signin.Who // who is signed in; nil: nobody
	SignIn bool        // it may help to
	Mail   bool        // a code can be mailed
	Email  string
	Flow   string // of a code that is on its way
}

// again is where the page itself is.
func (d door) again() string { return visit.AuthorizePath + "?" + d.Query() }

// signInURL is the sign-in page, from which he comes back.
func signInURL(d door) string { return "/sign-in?next=" + url.QueryEscape(d.again()) }

// authorize sends a browser in which somebody is signed in back to the node that it comes from, and another one to sign
// in first, or shows what else he can do.
func (p *Pages) authorize(w http.ResponseWriter, r *http.Request) {
	d, ok := p.door(w, r, r.URL.Query())
	if !ok {
		return
	}
	to, err := p.Visits.Enter(r.Context(), d.Wanted, value(r, p.Cookie))
	switch {
	case err == nil:
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	case errors.Is(err, visit.ErrNobody) && !d.Mail && d.SignIn:
		w.Header().Set("Location", "/sign-in?next="+url.QueryEscape(r.URL.RequestURI()))
		w.WriteHeader(http.StatusFound)
	case errors.Is(err, visit.ErrNobody) && d.Mail:
		p.show(w, r, http.StatusOK, mailView(d, ""))
	case errors.Is(err, visit.ErrNobody):
		p.show(w, r, http.StatusForbidden, mayNotView(d, "No way into this service begins here."))
	case fault.Of(err) == fault.Denied:
		status, text := p.said(w, err)
		p.show(w, r, status, mayNotView(d, text))
	default:
		p.noVisit(w, r, err)
	}
}

// door reads what a node has asked for, and finds what is open; else it has answered.
func (p *Pages) door(w http.ResponseWriter, r *http.Request, q url.Values) (d door, ok bool) {
	if p.Visits == nil {
		p.noVisit(w, r, visit.ErrNoRoom)
		return d, false
	}
	var err error
	if d.Wanted, err = p.Visits.Wanted(q); err != nil {
		p.noVisit(w, r, err)
		return d, false
	}
	if d.SignIn, d.Mail, err = p.Visits.Ways(d.Wanted); err != nil {
		p.noVisit(w, r, err)
		return d, false
	}
	if d.Who, err = p.who(r); err == nil {
		d.Email = d.Who.User.Email
	}
	return d, true
}

// noVisit says why a page for visitors can't be shown. There is nowhere else to go from it.
func (p *Pages) noVisit(w http.ResponseWriter, r *http.Request, err error) {
	status, text := p.said(w, err)
	if errors.Is(err, visit.ErrNoRoom) {
		status = http.StatusBadRequest
	}
	p.show(w, r, status, noVisitView(text))
}

// wanted is what a form has kept of the visit that it is about.
func (p *Pages) wanted(w http.ResponseWriter, r *http.Request) (door, bool) {
	q, err := url.ParseQuery(r.PostFormValue("visit"))
	if err != nil {
		q = url.Values{}
	}
	d, ok := p.door(w, r, q)
	if ok && !d.Mail {
		p.noVisit(w, r, visit.ErrMayNot)
		return d, false
	}
	return d, ok
}

func (p *Pages) mailForm(w http.ResponseWriter, r *http.Request) {
	d, ok := p.wanted(w, r)
	if !ok {
		return
	}
	d.Email = r.PostFormValue("email")
	flow, err := p.Visits.SendCode(r.Context(), d.Wanted, client(r).Address, d.Email)
	if err != nil {
		status, text := p.said(w, err)
		p.show(w, r, status, mailView(d, text))
		return
	}
	d.Flow = flow
	p.show(w, r, http.StatusOK, mailCodeView(d, ""))
}

func (p *Pages) mailCodeForm(w http.ResponseWriter, r *http.Request) {
	d, ok := p.wanted(w, r)
	if !ok {
		return
	}
	d.Email, d.Flow = r.PostFormValue("email"), r.PostFormValue("flow")
	to, err := p.Visits.EnterMailed(r.Context(), d.Wanted, client(r).Address, d.Flow, r.PostFormValue("code"))
	switch {
	case err == nil:
		p.show(w, r, http.StatusOK, onward(to)) // a form may not be sent on to another site
	case errors.Is(err, visit.ErrCodeOver):
		p.show(w, r, http.StatusNotFound, mailView(d, visit.ErrCodeOver.Error()))
	default:
		status, text := p.said(w, err)
		p.show(w, r, status, mailCodeView(d, text))
	}
}

// keySet is what targets verify assertions with.
func (p *Pages) keySet(w http.ResponseWriter, r *http.Request) {
	if p.Visits == nil {
		http.NotFound(w, r)
		return
	}
	set, err := p.Visits.KeySet()
	if err != nil {
		p.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(set)
}
