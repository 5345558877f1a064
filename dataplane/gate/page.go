package gate

import (
	_ "embed"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/warrenedge/warren/dataplane/access"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/page"
	"github.com/warrenedge/warren/shared/policy"
)

// view is what a person is shown.
type view struct {
	Title string
	Text  []string
	Wrong string // about what was typed in

	Action, To    string // of the form
	PIN, Password bool
	SignIn        string // where to sign in
	As, SignOut   string // who has signed in, and where he signs out
	SignOutForm   bool
	Again         string // where to begin anew
}

//go:embed page.html
var content string

var pages = page.NewKind(content, true)

// answer shows a page, to programs its text.
func (g *Gate) answer(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, status int, p view) {
	d, err := pages.Draw(v.Look, page.Page{Title: p.Title, Host: v.Host, Content: p, Text: http.StatusText(status) + "\n"})
	if err != nil {
		g.Log.Error("page not made", "err", err)
	}
	d.Answer(w, r, status, navigation(r) || r.Method == http.MethodPost && r.Header.Get("Sec-Fetch-Mode") == "navigate")
}

func (g *Gate) fail(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, status int, text string) {
	g.answer(w, r, v, status, view{Title: http.StatusText(status), Text: []string{text}})
}

// again is a failure that another attempt may get over, from the front page on: by itself it would come back.
func (g *Gate) again(w http.ResponseWriter, r *http.Request, v *httpproxy.Visit, status int, text string) {
	g.answer(w, r, v, status, view{Title: http.StatusText(status), Text: []string{text}, Again: "/"})
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
	g.answer(w, r, v, status, view{
		Title: "Who are you?", Wrong: text, Action: enterPath, To: g.keys.Load().seal(to, v.Host, g.browser(w, r), time.Now()),
		PIN: ways.Has(policy.WayPIN), Password: ways.Has(policy.WayPassword),
	})
}
