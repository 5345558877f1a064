package httpproxy

import (
	"net/http"
	"strings"

	"github.com/warrenedge/warren/dataplane/page"
)

// Maintenance is a page in place of a service.
type Maintenance struct {
	Always         bool // else only while no target can answer
	Title, Message string
}

var maintenancePages = page.NewKind("{{range .}}<p>{{.}}</p>\n{{end}}", false)

// notice is a Maintenance that is ready to be sent.
type notice struct {
	always bool
	page   *page.Drawn
}

func newNotice(m *Maintenance, look *page.Look) *notice {
	if m == nil {
		return nil
	}
	title := m.Title
	if title == "" {
		title = "Back soon"
	}
	// It fails for what is no text alone.
	d, _ := maintenancePages.Draw(look, page.Page{Title: title, Content: paragraphs(m.Message), Text: strings.TrimSpace(title+"\n"+m.Message) + "\n"})
	return &notice{always: m.Always, page: d}
}

func paragraphs(s string) (out []string) {
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// instead reports whether the page stands for what a node would answer with this status.
func (n *notice) instead(status int) bool {
	return n != nil && (status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout)
}

// answer shows the page, to programs its text. Caches and search engines come again (RFC 9110 §15.6.4).
func (n *notice) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "30")
	n.page.Answer(w, r, http.StatusServiceUnavailable, page.Wanted(r))
}
