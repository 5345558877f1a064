package page

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/warrenedge/warren/shared/brand"
)

var styled = regexp.MustCompile(`(?s)<style>(.*)</style>`)

// A browser shows a page as it was drawn: what its policy permits is what is in it, whatever an organization calls itself.
func TestPolicyIsOfThePage(t *testing.T) {
	kind := NewKind(`<p>{{.}}</p>`, true)
	svg := []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)
	for name, b := range map[string]brand.Brand{
		"none": {}, "accent": {Accent: "#ffcc00"}, "logo": {Logo: svg}, "all": {Name: `</title><script>alert(1)</script>`, Accent: "#000000", Logo: svg},
	} {
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		d, err := kind.Draw(NewLook(b), Page{Title: "T<i>", Host: "a.example", Content: "<b>", Text: "words\n"})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		d.Answer(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusForbidden, true)
		body, csp := w.Body.String(), w.Header().Get("Content-Security-Policy")
		m := styled.FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("%s: no style in %s", name, body)
		}
		sum := sha256.Sum256([]byte(m[1]))
		if want := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(csp, want) || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %s, want %s", name, csp, want)
		}
		if strings.Contains(csp, "img-src") != (len(b.Logo) > 0) || strings.Contains(body, "<img") != (len(b.Logo) > 0) {
			t.Errorf("%s: %s\n%s", name, csp, body)
		}
		if len(b.Logo) > 0 && !strings.Contains(html.UnescapeString(body), `src="data:image/svg+xml;base64,`+base64.StdEncoding.EncodeToString(b.Logo)+`"`) {
			t.Errorf("%s: the logo is not there: %s", name, body)
		}
		if strings.Contains(body, "<script") || strings.Contains(body, "<i>") || strings.Contains(body, "<b>") || strings.Contains(body, "ZgotmplZ") {
			t.Errorf("%s: %s", name, body)
		}
		if b.Accent != "" && !strings.Contains(m[1], "--accent:"+b.Accent+";--ink:"+b.Ink()+"}") {
			t.Errorf("%s: %s", name, m[1])
		}
		w = httptest.NewRecorder()
		d.Answer(w, httptest.NewRequest(http.MethodHead, "/", nil), http.StatusForbidden, false)
		if w.Code != http.StatusForbidden || w.Body.Len() > 0 || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s, HEAD: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
}
