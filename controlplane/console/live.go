package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
)

const (
	renderEvery = 500 * time.Millisecond // no stream renders more often
	lookAgain   = 5 * time.Second        // what depends on the time of day alone
	sendLimit   = 10 * time.Second
	beatEvery   = 20 * time.Second // a word, so that nobody in between thinks the stream is dead
)

// streamed marks the context of a request that a stream makes for the page that is looked at.
type streamed struct{}

// sink keeps what a page renders for a stream.
type sink struct {
	bytes.Buffer
	header http.Header
	status int
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(n int)   { s.status = n }

// eventsURL is where a page hears of changes.
func eventsURL(q *Request, p *Page) string {
	if p.Stream != "" {
		return p.Stream
	}
	return Root + "/events?at=" + url.QueryEscape(q.URL.RequestURI())
}

// events is the stream of a tab: whenever the configuration or the state of anything changes, the live part of the
// page that the tab shows is rendered again, and sent if it is another one.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	at, err := url.Parse(r.URL.Query().Get("at"))
	if err != nil || at.IsAbs() || at.Host != "" || !c.isPage(at.Path) {
		http.Error(w, "no such page", http.StatusBadRequest)
		return
	}
	who, err := c.principal(r)
	if err != nil {
		http.Error(w, "not signed in", http.StatusUnauthorized)
		return
	}
	send, done, ok := c.stream(w, who)
	if !ok {
		return
	}
	defer done()
	c.follow(r, at, send)
}

// isPage reports whether a path is that of a page, which a stream may render: no export, and no stream.
func (c *Console) isPage(path string) bool {
	_, pattern := c.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
	return slices.Contains(c.served, pattern)
}

// stream begins a stream, if there is room for one more: done must follow.
func (c *Console) stream(w http.ResponseWriter, who access.Principal) (send func(string) error, done func(), ok bool) {
	user := who.Actor()
	if !c.streams.take(user) {
		http.Error(w, "too many pages are open: close some", http.StatusServiceUnavailable)
		return nil, nil, false
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	return func(text string) error {
		_ = out.SetWriteDeadline(time.Now().Add(sendLimit))
		if _, err := w.Write([]byte(text)); err != nil {
			return err
		}
		return out.Flush()
	}, func() { c.streams.give(user) }, true
}

// untilOver ends with ctx, or when streams have to end. cancel must follow.
func (c *Console) untilOver(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// beat is a word without meaning.
const beat = ": still here\n\n"

// message is what a stream sends of a part of a page.
func message(page []byte) string {
	return "data: " + strings.ReplaceAll(string(page), "\n", "\ndata: ") + "\n\n"
}

// follow renders a page again and again, until its reader is gone or may not see it any more.
func (c *Console) follow(r *http.Request, at *url.URL, send func(string) error) {
	var last [sha256.Size]byte
	for sent := time.Now(); ; {
		world, state := c.World.Changed(), c.Presence.Changed()
		p, err := c.principal(r)
		if err != nil && fault.Of(err) == fault.Denied {
			return
		}
		if err == nil {
			page, ok := c.rendered(r, &Request{Who: p}, at)
			if !ok {
				return
			}
			sum := sha256.Sum256(page)
			text := ""
			switch {
			case sum != last:
				text = message(page)
			case time.Since(sent) > beatEvery:
				text = beat
			}
			if text != "" {
				if send(text) != nil {
					return
				}
				last, sent = sum, time.Now()
			}
		}
		if !c.pause(r.Context(), world, state) {
			return
		}
	}
}

// pause waits for a change, and not less than renderEvery.
func (c *Console) pause(ctx context.Context, world, state <-chan struct{}) bool {
	most, least := time.NewTimer(lookAgain), time.NewTimer(renderEvery)
	defer most.Stop()
	defer least.Stop()
	for _, wait := range []func() bool{
		func() bool {
			select {
			case <-world:
			case <-state:
			case <-most.C:
			case <-ctx.Done():
				return false
			case <-c.over:
				return false
			}
			return true
		},
		func() bool {
			select {
			case <-least.C:
			case <-ctx.Done():
				return false
			case <-c.over:
				return false
			}
			return true
		},
	} {
		if !wait() {
			return false
		}
	}
	return true
}

// rendered is the live part of a page as it is now.
func (c *Console) rendered(r *http.Request, q *Request, at *url.URL) ([]byte, bool) {
	inner, err := http.NewRequestWithContext(context.WithValue(r.Context(), streamed{}, q), http.MethodGet, at.RequestURI(), nil)
	if err != nil {
		return nil, false
	}
	for _, cookie := range r.Cookies() {
		inner.AddCookie(cookie)
	}
	inner.RemoteAddr, inner.Host = r.RemoteAddr, r.Host
	out := &sink{header: http.Header{}, status: http.StatusOK}
	c.mux.ServeHTTP(out, inner)
	return out.Bytes(), out.status < 300
}
