package challenge

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/warrenedge/warren/dataplane/inbound"
	"github.com/warrenedge/warren/shared/hostname"
)

// Bounds of a connection without TLS: one small request, one small answer.
const (
	requestTime = 5 * time.Second
	answerTime  = 10 * time.Second
	drainTime   = 5 * time.Second
	maxHead     = 8 << 10
	maxLocation = 4 << 10
)

// wellKnown is where http-01 is answered (RFC 8555 §8.3).
const wellKnown = "/.well-known/acme-challenge/"

// Plain answers requests without TLS on l until ctx ends, then closes it: challenges of a name by their token, for
// everything else of an HTTP service where HTTPS is, and nothing of what nobody has published. Each connection has
// one request.
func (a *Answerer) Plain(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:                      http.HandlerFunc(a.plain),
		ReadTimeout:                  requestTime,
		WriteTimeout:                 answerTime,
		MaxHeaderBytes:               maxHead,
		DisableGeneralOptionsHandler: true,
		Protocols:                    new(http.Protocols),
		ErrorLog:                     slog.NewLogLogger(a.with.Log.Handler(), slog.LevelDebug),
	}
	srv.Protocols.SetHTTP1(true)
	srv.SetKeepAlivesEnabled(false)
	in := &admitted{Listener: l, conns: make(chan net.Conn), done: make(chan struct{})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(in) // ends with in, and only with it
	}()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	err := inbound.Accept(ctx, l, func(c net.Conn) { a.admit(in, c) }, func(err error, again bool) {
		if !again {
			a.with.Log.Warn("accept", "err", err)
		}
	})
	stop()
	_ = l.Close()
	close(in.done)
	<-served
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close()
	}
	return err
}

// admit hands a connection to the server if its client has not too many.
func (a *Answerer) admit(in *admitted, c net.Conn) {
	client := inbound.AddrPort(c.RemoteAddr()).Addr()
	if a.with.Limit.Enter(client) != nil {
		a.metrics.shed.Inc()
		inbound.Reset(c)
		return
	}
	in.conns <- &counted{Conn: c, limit: a.with.Limit, client: client}
}

// admitted is a listener of connections that were let in.
type admitted struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{} // closed when there will be no more
}

func (l *admitted) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *admitted) Close() error { return nil }

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	limit  *inbound.Limiter
	client netip.Addr
	once   sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.limit.Leave(c.client, false) })
	return c.Conn.Close()
}

func (a *Answerer) plain(w http.ResponseWriter, r *http.Request) {
	k, now := a.known.Load(), time.Now()
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	name := hostOf(r.Host)
	// The path as it was sent: a token that is spelled otherwise is another one.
	if token, ok := strings.CutPrefix(r.URL.EscapedPath(), wellKnown); ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		if text, ok := k.file(name, token, now); ok {
			a.metrics.requests.WithLabelValues("challenge").Inc()
			h.Set("Content-Type", "application/octet-stream")
			h.Set("Content-Length", strconv.Itoa(len(text)))
			if r.Method == http.MethodGet {
				_, _ = io.WriteString(w, text)
			}
			return
		}
	}
	uri := r.URL.RequestURI()
	if name != "" && k.speaksHTTP(name) && strings.HasPrefix(uri, "/") && r.Method != http.MethodConnect && len(uri) <= maxLocation {
		a.metrics.requests.WithLabelValues("redirected").Inc()
		if a.with.HTTPS != 443 {
			name = net.JoinHostPort(name, strconv.Itoa(int(a.with.HTTPS)))
		}
		h.Set("Location", "https://"+name+uri)
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	a.metrics.requests.WithLabelValues("unknown").Inc()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = io.WriteString(w, "nothing here\n")
}

// hostOf is the canonical name in a Host header, "" if there is none.
func hostOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		if _, err := strconv.ParseUint(host[i+1:], 10, 16); err != nil {
			return ""
		}
		host = host[:i]
	}
	name, err := hostname.Canonical(host)
	if err != nil {
		return ""
	}
	return name
}
