package acmetest

import (
	"encoding/json"
	"net/http"
)

// LikeBoulder makes the CA one that keeps no list of an account's orders, and that answers newOrder with the order that is pending or
// ready for the same account and names, as Let's Encrypt does.
func (p *Proxy) LikeBoulder() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.boulder = true
}

// Repeated counts the newOrders that were answered with an order that was there.
func (p *Proxy) Repeated() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.book.repeated
}

// unfinished is the answer to newOrder with the order that is there; false if there is none.
func (p *Proxy) unfinished(a asked) (url string, body []byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.book.last[a.names]
	if !p.boulder || a.kind != NewOrder || s == nil || s.account != a.account || s.status != "pending" && s.status != "ready" {
		return "", nil, false
	}
	p.book.repeated++
	return s.url, s.body, true
}

// again answers newOrder with an order that is there.
func (p *Proxy) again(url string, body []byte) (int, http.Header, []byte, error) {
	req, err := http.NewRequest(http.MethodHead, "https://"+p.upstream+"/nonce-plz", nil)
	if err != nil {
		return 0, nil, nil, err
	}
	resp, err := p.client.RoundTrip(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	h := http.Header{"Content-Type": {"application/json"}, "Location": {url}, "Replay-Nonce": {resp.Header.Get("Replay-Nonce")}}
	return http.StatusCreated, h, body, nil
}

// withoutList takes out of an account where its orders are listed.
func withoutList(body []byte) []byte {
	var account map[string]json.RawMessage
	if json.Unmarshal(body, &account) != nil {
		return body
	}
	delete(account, "orders")
	out, err := json.Marshal(account)
	if err != nil {
		return body
	}
	return out
}
