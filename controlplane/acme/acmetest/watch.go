package acmetest

import (
	"net/http"
	"strconv"
	"time"
)

// By these a Proxy and the requests that it watches know of each other.
const (
	beganHeader = "Warren-Began" // of a request: nanoseconds since the Proxy was started
	waitHeader  = "Warren-Wait"  // of a reply with Retry-After: which one it is
)

// Watch tells the Proxy when each request began, and when whoever sent it was through with a reply that says when to come again: next obeys it by
// then, and has told the others. A request that began after that should not have come.
func (p *Proxy) Watch(next http.RoundTripper) http.RoundTripper { return watched{p, next} }

type watched struct {
	p    *Proxy
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(beganHeader, strconv.FormatInt(int64(time.Since(w.p.started)), 10))
	resp, err := w.next.RoundTrip(r)
	if err == nil {
		if n, e := strconv.Atoi(resp.Header.Get(waitHeader)); e == nil {
			w.p.heard(n, time.Now())
		}
	}
	return resp, err
}

// began is when a watched request began; zero if it is not watched.
func (p *Proxy) began(r *http.Request) time.Time {
	n, err := strconv.ParseInt(r.Header.Get(beganHeader), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return p.started.Add(time.Duration(n))
}

func (p *Proxy) heard(n int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.book.heard(n, now)
}
