// Package page draws what a node shows people of itself: who may come, what failed, what rests.
//
// A page stands alone: no script, nothing of another host, so that it is shown when all else is away. What an
// organization has its pages look like is in them.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"github.com/warrenedge/warren/shared/brand"
)

//go:embed page.html
var shell string

//go:embed page.css
var style string

// Look is a Brand that is ready to be shown. A nil *Look is the node's own. Immutable.
type Look struct {
	Name  string
	Logo  template.URL // data:, or empty
	Style template.CSS

	policy string // of the page's content, up to where forms may go
}

var plain = NewLook(brand.Brand{})

// NewLook makes a brand ready, which has to be one that its Check lets pass.
func NewLook(b brand.Brand) *Look {
	l := &Look{Name: b.Name}
	css, images := style, ""
	if b.Accent != "" {
		css += ":root{--accent:" + b.Accent + ";--ink:" + b.Ink() + "}"
	}
	if len(b.Logo) > 0 {
		l.Logo = template.URL("data:" + b.LogoType() + ";base64," + base64.StdEncoding.EncodeToString(b.Logo))
		images = "img-src data:; "
	}
	l.Style = template.CSS(css)
	sum := sha256.Sum256([]byte(css))
	l.policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; " + images + "frame-ancestors 'none'; base-uri 'none'; form-action "
	return l
}

// Kind is a kind of page. Safe for concurrent use.
type Kind struct {
	t     *template.Template
	forms string // where its forms may go
}

// NewKind reads what is below the title of pages of a kind: an html/template of their content.
func NewKind(content string, forms bool) *Kind {
	k := &Kind{template.Must(template.Must(template.New("page").Parse(shell)).New("content").Parse(content)), "'none'"}
	if forms {
		k.forms = "'self'"
	}
	return k
}

// Page is one page.
type Page struct {
	Title, Host string // Host: "" shows none
	Content     any
	Text        string // for programs
}

// Drawn is a page for people, and what it is for programs.
type Drawn struct {
	html, text []byte
	policy     string
}

// Draw makes a page. Its error is one of the kind's template.
func (k *Kind) Draw(l *Look, p Page) (*Drawn, error) {
	if l == nil {
		l = plain
	}
	var b bytes.Buffer
	err := k.t.ExecuteTemplate(&b, "page", struct {
		Page
		Look *Look
	}{p, l})
	return &Drawn{html: b.Bytes(), text: []byte(p.Text), policy: l.policy + k.forms}, err
}

// Answer sends the page to people, or its text to programs. Nothing of it is kept by anybody.
func (d *Drawn) Answer(w http.ResponseWriter, r *http.Request, status int, people bool) {
	if !people {
		send(w, r, status, "text/plain", d.text)
		return
	}
	w.Header().Set("Content-Security-Policy", d.policy)
	send(w, r, status, "text/html", d.html)
}

// Words sends programs what there is for them of a page that nobody draws.
func Words(w http.ResponseWriter, r *http.Request, status int, text string) {
	send(w, r, status, "text/plain", []byte(text))
}

func send(w http.ResponseWriter, r *http.Request, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Type", kind+"; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// Wanted reports whether a request asks for a page, rather than for something that a program reads.
func Wanted(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}
