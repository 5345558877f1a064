package console

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
	"github.com/warrenedge/warren/controlplane/model"
)

// catchUp is how long an answer waits for this replica to have read what was written.
const catchUp = 3 * time.Second

// view makes a page.
type view func(q *Request) (*Page, error)

// action does what a form asks for.
type action func(q *Request) (*Done, error)

// page registers what is shown to those who have a permission, in the organization of the path if it has one.
func (c *Console) page(path string, need access.Permission, v view) {
	c.served = append(c.served, "GET "+path)
	c.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		q, ok := c.begin(w, r)
		if !ok {
			return
		}
		p, err := c.allowed(q, need)
		if err == nil {
			p, err = v(q)
		}
		if err != nil {
			p = c.failed(w, q, err)
		}
		c.show(w, q, p)
	})
}

// form registers what is done for those who have a permission.
func (c *Console) form(path string, need access.Permission, a action) {
	c.served = append(c.served, "POST "+path)
	c.mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		q, ok := c.begin(w, r)
		if !ok {
			return
		}
		if err := parse(r); err != nil {
			http.Error(w, "this is no form, or too much", http.StatusBadRequest)
			return
		}
		_, err := c.allowed(q, need)
		var d *Done
		if err == nil {
			d, err = a(q)
		}
		switch {
		case err != nil:
			c.show(w, q, c.failed(w, q, err))
		case d.Page != nil:
			c.show(w, q, d.Page)
		default:
			ctx, cancel := context.WithTimeout(r.Context(), catchUp)
			defer cancel()
			_, _ = c.World.Wait(ctx, d.Revision) // who waits in vain sees it come by itself
			if d.Said != "" {
				setCookie(w, saidCookie, d.Said, saidLife)
			}
			http.Redirect(w, r, d.To, http.StatusSeeOther)
		}
	})
}

// inMemory is how much of a form with files is kept in memory; there is no more of it than the gate lets through.
const inMemory = 1 << 20

// parse reads a form, with files or without.
func parse(r *http.Request) error {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return r.ParseMultipartForm(inMemory)
	}
	return r.ParseForm()
}

// begin finds who calls, and the organization; if it reports false, there is an answer.
func (c *Console) begin(w http.ResponseWriter, r *http.Request) (*Request, bool) {
	q, stream := r.Context().Value(streamed{}).(*Request)
	if stream { // again, for a page that is looked at
		q = &Request{Request: r, Console: c, Who: q.Who, Now: time.Now(), m: c.World.Get()}
	} else {
		p, ok := c.caller(w, r)
		if !ok {
			return nil, false
		}
		q = &Request{Request: r, Console: c, Who: p, Now: time.Now(), m: c.World.Get()}
	}
	ref := r.PathValue("org")
	if ref == "" {
		q.Org = c.first(r, q.Who)
		return q, true
	}
	if q.Org = byName(q.m, q.Who, ref); q.Org == nil {
		q.Org = c.first(r, q.Who)
		c.show(w, q, c.failed(w, q, fault.New(fault.NotFound, "no such organization")))
		return nil, false
	}
	if !stream && cookieValue(r, orgCookie) != q.Org.ID.String() {
		setCookie(w, orgCookie, q.Org.ID.String(), orgLife)
	}
	return q, true
}

func (c *Console) allowed(q *Request, need access.Permission) (*Page, error) {
	if need.ForEverybody() || q.Can(need) && (!q.inCluster() || q.Who.Can(need, model.OrgID{})) {
		return nil, nil
	}
	return nil, access.Refused(need)
}

// show sends a page: whole, or, to scripts that ask for it, the part that changes.
func (c *Console) show(w http.ResponseWriter, q *Request, p *Page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	body := shell(q, p)
	switch {
	case q.Context().Value(streamed{}) != nil:
		body = p.Live
	case q.Header.Get("Console-Part") == "question" && p.Top != nil:
		body = p.Top
	case q.Header.Get("Hx-Request") == "true" && q.Header.Get("Hx-History-Restore-Request") == "":
		body = live(q, p)
	case q.Method == http.MethodGet:
		if q.Said = cookieValue(q.Request, saidCookie); q.Said != "" {
			setCookie(w, saidCookie, "", -time.Second)
		}
	}
	var out bytes.Buffer
	if body != nil {
		if err := body.Render(q.Context(), &out); err != nil {
			c.Log.Error("console page not rendered", "path", q.URL.Path, "err", err)
			http.Error(w, "Something went wrong here. It is in the log.", http.StatusInternalServerError)
			return
		}
	}
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	if q.Method != http.MethodHead {
		_, _ = w.Write(out.Bytes())
	}
}

// said is what somebody is told of an error: causes are for the log.
func (c *Console) said(err error) string {
	fe, ok := errors.AsType[*fault.Error](err)
	switch {
	case fault.Of(err) == fault.Unavailable && (!ok || fe.Err != nil):
		c.Log.Warn("console page failed", "err", err)
		return "The database is away. What runs goes on; try again in a moment."
	case fault.Of(err) == fault.Internal || !ok:
		c.Log.Error("console page failed", "err", err)
		return "Something went wrong here. It is in the log."
	case fe.Field != "":
		return fe.Field + ": " + fe.Msg
	}
	return fe.Msg
}

// failed is the page of an error.
func (c *Console) failed(w http.ResponseWriter, q *Request, err error) *Page {
	status := httpfault.Status(err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "2")
	}
	title := map[int]string{
		http.StatusNotFound: "Not found", http.StatusForbidden: "Not allowed", http.StatusServiceUnavailable: "Not possible now",
	}[status]
	if title == "" {
		title = "That did not work"
	}
	return &Page{Title: title, Status: status, Top: failedView(q, c.said(err))}
}

// plain answers where there is nobody to show a page to.
func (c *Console) plain(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(httpfault.Status(err))
	_ = shell(&Request{Request: r, Console: c, m: model.Empty()}, &Page{Title: "Not possible now", Top: plainNote(c.said(err))}).Render(r.Context(), w)
}
