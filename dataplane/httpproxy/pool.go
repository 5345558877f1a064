package httpproxy

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/warrenedge/warren/dataplane/fabric"
)

const (
	dialTime        = 10 * time.Second
	poolIdle        = 60 * time.Second
	poolConns       = 64 // idle ones
	maxAnswerHeader = 256 << 10
)

// poolKey is what connections may be shared within.
type poolKey struct {
	service, target, site string
	to                    Upstream
}

// pool keeps the connections to one target. Requests of different targets never share one.
//
// net/http sends a request again, on its own, only when a kept connection turned out to be dead
// before the target could see the request, or when the method is idempotent. Nothing else is retried.
type pool struct {
	key   poolKey
	dial  DialFunc
	ways  *ways
	dials dials
	http  *http.Transport
	http2 *http.Transport // of gRPC, whose servers speak nothing else, and of targets that want it; by TLS only if they do
}

func newPool(key poolKey, dial DialFunc, ways *ways) *pool {
	p := &pool{key: key, dial: dial, ways: ways}
	p.http, p.http2 = p.transport(), p.transport()
	p.http.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return p.needed(ctx, func() (net.Conn, error) { return p.dialContext(ctx, false) })
	}
	p.http2.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dialContext(ctx, true) }
	p.http.Protocols.SetHTTP1(true)
	if key.to.secure() {
		p.http2.Protocols.SetHTTP2(true)
		one, two := key.to.tls("http/1.1"), key.to.tls("h2")
		p.http.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.needed(ctx, func() (net.Conn, error) { return p.dialTLS(ctx, false, one) })
		}
		p.http2.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dialTLS(ctx, true, two) }
	} else {
		p.http2.Protocols.SetUnencryptedHTTP2(true)
	}
	p.http2.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
	return p
}

// transport makes a Transport.
func (p *pool) transport() *http.Transport {
	return &http.Transport{
		Protocols:              new(http.Protocols),
		MaxIdleConnsPerHost:    poolConns,
		IdleConnTimeout:        poolIdle,
		DisableCompression:     true, // the client's Accept-Encoding is the target's business
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
}

// needed dials if the request that dials still has to be given a connection, and none of those on their way is for it.
func (p *pool) needed(ctx context.Context, dial func() (net.Conn, error)) (net.Conn, error) {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok || x.Upgrade { // to a WebSocket the transport gives no connection that was begun for another request
		return dial()
	}
	return p.dials.do(ctx, &x.want, dial)
}

// dialContext goes through the fabric. Requests share the connection, or it is for one at a time. It is announced with the client that happens to
// need it first: see rewrite for what the target should believe.
func (p *pool) dialContext(ctx context.Context, shared bool) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	req := fabric.Request{Target: p.key.target, Site: p.key.site, Service: p.key.service, Kept: true}
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		req.Client, req.Local = x.session.client, x.session.local
	}
	c, way, err := p.dial(ctx, req)
	if err != nil {
		return nil, dialError{fmt.Errorf("dial target %s: %w", p.key.target, err)}
	}
	k := p.ways.add(c, way, shared)
	if f, ok := c.(fabric.Forsakable); ok {
		f.OnForsaken(k.leave)
	}
	return k, nil
}

// close ends the idle connections; those in use end when they come back.
func (p *pool) close() {
	p.http.CloseIdleConnections()
	p.http2.CloseIdleConnections()
}
