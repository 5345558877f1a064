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
	http  *http.Transport
	http2 *http.Transport // of gRPC, whose servers speak nothing else, and of targets that want it; by TLS only if they do
}

func newPool(key poolKey, dial DialFunc, ways *ways) *pool {
	p := &pool{key: key, dial: dial, ways: ways}
	p.http, p.http2 = p.transport(false), p.transport(true)
	p.http.Protocols.SetHTTP1(true)
	if key.to.secure() {
		p.http2.Protocols.SetHTTP2(true)
		p.secured(p.http, key.to.tls("http/1.1"))
		p.secured(p.http2, key.to.tls("h2"))
	} else {
		p.http2.Protocols.SetUnencryptedHTTP2(true)
	}
	p.http2.HTTP2 = &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second}
	return p
}

// transport makes a Transport. Requests share its connections, or each has one to itself.
func (p *pool) transport(shared bool) *http.Transport {
	return &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dialContext(ctx, shared) },
		Protocols:              new(http.Protocols),
		MaxIdleConnsPerHost:    poolConns,
		IdleConnTimeout:        poolIdle,
		DisableCompression:     true, // the client's Accept-Encoding is the target's business
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
}

// dialContext goes through the fabric. The connection is announced with the client that happens to
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
