package httpproxy

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/strict"
)

// exchange is one request on its way, found through its context.
type exchange struct {
	*admitted
	session *session
	body    *requestBody
	state   *state
	rule    *rule
	target  balance.Target // of the attempt under way, or the last
	tried   []string       // targets of the attempts before
	again   bool           // it was sent once and is sent again
	uid     uuid.UUID
	id      string // of uid
	grpc    bool
	pool    *pool // of the attempt under way, or the last
	want    wanting
	trace   httptrace.ClientTrace // of the first attempt
	conn    *kept                 // of the attempt under way, or the last
	failure string                // why there is no answer of a target; for counter and access log
	noted   bool                  // the target's health knows of the last attempt's failure
	visit   *Visit                // that the guard was asked about; nil: it was not
	pass    *Pass                 // of the guard; nil where there is none

	// Of the request log.
	start             time.Time
	decided, answered time.Duration // since start; 0: not yet
	via               string        // the node that relays; "": none does
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// rewrite makes the request that the target sees. ReverseProxy has removed the hop-by-hop fields
// already, and those that Connection names: what is set here can't be taken away by a client.
func rewrite(pr *httputil.ProxyRequest) {
	x := exchangeOf(pr.In.Context())
	out := pr.Out
	strict.RemoveEdgeFields(out.Header)
	strict.RemoveEdgeCookies(out.Header)
	x.route.delivery.Request.apply(out.Header)
	// The client of this request. The PROXY header of the connection that it travels on says who was
	// first to use that connection, which is anybody: the field is the truth, not the header.
	if client := addrString(x.session.client.Addr()); client != "" {
		out.Header.Set("X-Forwarded-For", client)
	}
	out.Header.Set("X-Forwarded-Proto", "https")
	out.Header.Set("X-Forwarded-Host", x.Authority)
	out.Header.Set("X-Request-Id", x.id)
	if x.pass != nil {
		for name, values := range x.pass.Fields {
			out.Header[name] = values
		}
	}
	if out.Host = x.route.delivery.Host; out.Host == "" {
		out.Host = x.Authority
	}
	out.URL = &url.URL{
		Scheme: "http", Host: "target", // a pool has one target, whatever it is called
		Path: strict.Decoded(x.Path), RawPath: x.Path, RawQuery: pr.In.URL.RawQuery, ForceQuery: pr.In.URL.ForceQuery,
	}
	out.Trailer = nil // fields that would arrive after every check (RFC 9110 §6.5.1)
}

// address makes a request that of the target of its attempt.
func (x *exchange) address(r *http.Request) {
	u := *r.URL
	u.Scheme = SchemeHTTP
	to := x.route.upstreams[x.target.ID]
	if to.secure() {
		u.Scheme = SchemeHTTPS
	}
	if to.StripPrefix && x.rule.prefix != "" {
		u.RawPath = below(x.Path, x.rule.prefix)
		u.Path = strict.Decoded(u.RawPath)
		r.Header = r.Header.Clone() // the next attempt may go where none is cut off
		r.Header.Set("X-Forwarded-Prefix", x.rule.prefix)
	}
	r.URL = &u
}

func modifyResponse(r *http.Response) error {
	exchangeOf(r.Request.Context()).route.delivery.Response.apply(r.Header)
	r.Header.Del("X-Request-Id") // ours is set already
	strict.RemoveSetEdgeCookies(r.Header)
	return nil
}

// done counts and logs. The query is left out: it may hold credentials.
func (p *Proxy) done(r *http.Request, x *exchange, w *response, start time.Time) {
	took := time.Since(start)
	status := w.status()
	p.metrics.request(status, x.failure, took)
	p.record(r, x, w, start, took)
	if !p.access.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", x.id), slog.String("client", addrString(x.session.client.Addr())), slog.String("sni", x.session.name),
		slog.String("method", r.Method), slog.String("proto", r.Proto), slog.Int("status", status),
		slog.Int64("in", x.body.n.Load()), slog.Int64("out", w.sent.Load()), slog.Duration("dur", took),
	}
	if x.admitted != nil {
		attrs = append(attrs, slog.String("host", x.Host), slog.String("path", x.Path), slog.String("service", x.route.service))
	}
	if x.target.ID != "" {
		attrs = append(attrs, slog.String("target", x.target.ID), slog.String("site", x.target.Site))
	}
	if x.pass != nil && x.pass.User != "" {
		attrs = append(attrs, slog.String("user", x.pass.User))
	}
	if x.failure != "" {
		attrs = append(attrs, slog.String("reason", x.failure))
	}
	p.access.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelInfo, "request", attrs...)
}

func addrString(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(contentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
