package httpproxy

import (
	"net/http"

	"github.com/warrenedge/warren/dataplane/page"
)

var failurePages = page.NewKind(`<p>{{.Text}}</p>
<p class="request">Request {{.ID}}</p>
`, false)

// said is what people are told, by status. Which of the hops has failed is in the access log, under the request's id.
var said = map[int]string{
	http.StatusNotFound:            "There is no such page here.",
	http.StatusRequestTimeout:      "The request did not arrive in time.",
	http.StatusMisdirectedRequest:  "This connection is for another site. Load the page again.",
	http.StatusTooManyRequests:     "Too much is asked of this site at this moment. Try again in a second.",
	http.StatusBadGateway:          "The service behind this address does not answer as it should.",
	http.StatusServiceUnavailable:  "The service behind this address can't be reached at this moment.",
	http.StatusGatewayTimeout:      "The service behind this address does not answer in time.",
	http.StatusInternalServerError: "Something has gone wrong here.",
}

// answer is one of the node itself: to people a page that looks as the organization of the service has it, to programs the
// status in words, to both the id under which the logs have the request. Look nil: the node's own.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request, x *exchange, status int) {
	var look *page.Look
	host := ""
	if x.admitted != nil {
		look, host = x.route.look, x.Host
	}
	text, ok := said[status]
	if !ok {
		text = "This request can't be served."
	}
	words := http.StatusText(status) + "\nRequest " + x.id + "\n"
	if !page.Wanted(r) { // a page takes longer to draw than all else of a refusal
		page.Words(w, r, status, words)
		return
	}
	d, err := failurePages.Draw(look, page.Page{Title: http.StatusText(status), Host: host, Content: struct{ Text, ID string }{text, x.id}, Text: words})
	if err != nil {
		p.log.Error("page not made", "err", err)
	}
	d.Answer(w, r, status, true)
}
