package gate

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/warrenedge/warren/dataplane/access"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/shared/policy"
)

// page is what a person is shown.
type page struct {
	Title, Host string
	Text        []string
	Wrong       string // about what was typed in

	Action, To    string // of the form
	PIN, Password bool
	SignIn        string // where to sign in
	As, SignOut   string // who has signed in, and where he signs out
	SignOutForm   bool
	Again         string // where to begin anew

	Style template.CSS
}

//go:embed page.html
var pageText string

//go:embed page.css
var style string

var pages = template.Must(template.New("page").Parse(pageText))

// contentPolicy lets a page be what it is, and nothing else: no script, nothing of others, in nobody's frame.
var contentPolicy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
}()

// answer shows a page, to programs its text.
func (g *Gate) answer(w http.ResponseWriter, r *http.Request, status int, p page) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	var body bytes.Buffer
	if navigation(r) || r.Method == http.MethodPost && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		p.Style = template.CSS(style)
		if err := pages.Execute(&body, p); err != nil {
			g.Log.Error("page not made", "err", err)
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", contentPolicy)
	} else {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		body.WriteString(http.StatusText(status) + "\n")
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes())
	}
}

func (g *Gate) fail(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, status int, text string) {
	g.answer(w, r, status, page{Title: http.StatusText(status), Host: v.Host, Text: []string{text}})
}

// again is a failure that another attempt may get over, from the front page on: by itself it would come back.
func (g *Gate) again(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, status int, text string) {
	g.answer(w, r, status, page{Title: http.StatusText(status), Host: v.Host, Text: []string{text}, Again: "/"})
}

// refused says why what somebody has shown does not let him in. To is where he wanted to go, of a form.
func (g *Gate) refused(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, to string, err error) {
	status, text := http.StatusServiceUnavailable, "This can't be checked at this moment."
	many, limited := errors.AsType[*access.TooManyError](err)
	switch {
	case limited:
		status, text = http.StatusTooManyRequests, "Too many attempts. Try again later."
		w.Header().Set("Retry-After", strconv.Itoa(int(many.RetryAfter/time.Second)+1))
	case errors.Is(err, access.ErrWrong) && to == "":
		status, text = http.StatusForbidden, "This link is not good, or not any more."
	case errors.Is(err, access.ErrWrong):
		status, text = http.StatusForbidden, "That was not right."
	}
	if to == "" {
		g.fail(w, r, v, status, text)
		return
	}
	ways := v.Policy.Ways()
	g.answer(w, r, status, page{
		Title: "Who are you?", Host: v.Host, Wrong: text, Action: enterPath, To: g.keys.Load().seal(to, v.Host, g.browser(w, r), time.Now()),
		PIN: ways.Has(policy.WayPIN), Password: ways.Has(policy.WayPassword),
	})
}
