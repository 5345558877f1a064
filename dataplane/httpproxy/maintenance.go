package httpproxy

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

// Maintenance is a page in place of a service.
type Maintenance struct {
	Always         bool // else only while no target can answer
	Title, Message string
}

//go:embed maintenance.html
var maintenanceText string

//go:embed maintenance.css
var maintenanceStyle string

var maintenancePage = template.Must(template.New("maintenance").Parse(maintenanceText))

// maintenancePolicy lets the page be what it is, and nothing else.
var maintenancePolicy = func() string {
	sum := sha256.Sum256([]byte(maintenanceStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}()

// notice is a Maintenance that is ready to be sent.
type notice struct {
	always     bool
	html, text []byte
}

func newNotice(m *Maintenance) *notice {
	if m == nil {
		return nil
	}
	title := m.Title
	if title == "" {
		title = "Back soon"
	}
	var b bytes.Buffer
	// It fails for what is no string alone.
	_ = maintenancePage.Execute(&b, map[string]any{"Title": title, "Message": paragraphs(m.Message), "Style": template.CSS(maintenanceStyle)})
	return &notice{always: m.Always, html: b.Bytes(), text: []byte(strings.TrimSpace(title+"\n"+m.Message) + "\n")}
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
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Retry-After", "30")
	body := n.text
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		body = n.html
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", maintenancePolicy)
	} else {
		h.Set("Content-Type", "text/plain; charset=utf-8")
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}
