package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/warrenedge/warren/controlplane/visit"
	"github.com/warrenedge/warren/shared/brand"
)

// Where the look of a service's organization comes from, by the query "host": pages have no style in them.
const (
	pathLogo  = "/access/logo"
	pathStyle = "/access/brand.css"
)

// guest is for whose service somebody is signing in.
type guest struct {
	Host string // canonical, without a port
	brand.Brand
}

func (g *guest) logo() string  { return pathLogo + "?host=" + url.QueryEscape(g.Host) }
func (g *guest) style() string { return pathStyle + "?host=" + url.QueryEscape(g.Host) }

type guestKey struct{}

// guestOf is what show has put there; nil: nobody comes from a service, or its organization says nothing.
func guestOf(ctx context.Context) *guest {
	g, _ := ctx.Value(guestKey{}).(*guest)
	return g
}

// guest finds out from where a page leads, or what a form has kept of that.
func (p *Pages) guest(r *http.Request) *guest {
	if p.Visits == nil {
		return nil
	}
	q := url.Values{}
	if r.URL.Path == visit.AuthorizePath {
		q = r.URL.Query()
	} else if next, err := url.Parse(Local(r.FormValue("next"))); err == nil && next.Path == visit.AuthorizePath {
		q = next.Query()
	} else if kept, err := url.ParseQuery(r.PostFormValue("visit")); err == nil {
		q = kept
	}
	host, _, _ := strings.Cut(q.Get("host"), ":")
	if host == "" {
		return nil
	}
	if b := p.Visits.Brand(host); !b.IsZero() {
		return &guest{host, b}
	}
	return nil
}

// logo shows a picture that a tenant has chosen: to whoever opens it as a page, it is in a box that runs nothing.
func (p *Pages) logo(w http.ResponseWriter, r *http.Request) {
	b := p.brand(r)
	if len(b.Logo) == 0 {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", b.LogoType())
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	h.Set("Cache-Control", "private, max-age=60")
	_, _ = w.Write(b.Logo)
}

// brandStyle is the colour of a tenant, as far as it has one.
func (p *Pages) brandStyle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "private, max-age=60")
	if b := p.brand(r); b.Accent != "" {
		// Links keep the colour of ours, which is read on both grounds.
		_, _ = fmt.Fprintf(w, "main button { background: %s; border-color: %[1]s; color: %s; }\nmain .guest { border-color: %[1]s; }\n", b.Accent, b.Ink())
	}
}

func (p *Pages) brand(r *http.Request) brand.Brand {
	if p.Visits == nil {
		return brand.Brand{}
	}
	return p.Visits.Brand(r.URL.Query().Get("host"))
}
