package httpproxy

import (
	"errors"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
)

// roundTripper sends each request through the pool of its target, and when that fails, of another one.
//
// A request that could not be sent goes to every target once: no target has seen it. One that was sent
// and got no answer goes once more, if its method is idempotent (RFC 9110 §9.2.2) and none of its body
// is gone: to another target if there is one, else to the same one on another way.
type roundTripper struct{ p *Proxy }

func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeOf(r.Context())
	start := time.Now()
	for {
		body := &attemptBody{of: x.body}
		resp, err := x.send(r, body)
		if err == nil {
			t.p.health.Reached(x.target.ID)
			x.answered = time.Since(x.start)
			return resp, nil
		}
		now := time.Now()
		if x.missed() && r.Context().Err() == nil && now.Sub(start) <= dialTime && body.take() {
			continue // on another one
		}
		unsent := isDialError(err)
		if unsent && !fabric.NoWay(err) || !unsent && x.again && r.Context().Err() == nil {
			t.p.health.Failed(x.target.ID, now)
			t.p.health.Note(x.target.ID, now, err, false)
			x.noted = true
		}
		if r.Context().Err() != nil || !body.take() || now.Sub(start) > dialTime {
			return nil, err
		}
		next, ok := x.next(r, now, unsent)
		if !ok {
			return nil, err
		}
		t.p.metrics.retries.WithLabelValues(retryReason(unsent)).Inc()
		x.tried = append(x.tried, x.target.ID)
		x.again = x.again || !unsent
		x.target, x.noted = next, false
	}
}

func retryReason(unsent bool) string {
	if unsent {
		return "dial"
	}
	return "no_answer"
}

// send makes one attempt.
func (x *exchange) send(r *http.Request, body *attemptBody) (*http.Response, error) {
	x.off()
	x.pool = x.state.pools[keyOf(x.route, x.target)]
	trace := &x.trace
	if trace.GotConn != nil { // it has the hooks of ReverseProxy by now, and the attempt before may still use it
		trace = new(httptrace.ClientTrace)
	}
	trace.GetConn, trace.GotConn = x.seek, x.on
	attempt := r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
	defer x.pool.dials.has(&x.want) // it may have been given none
	if r.Body != nil && r.Body != http.NoBody {
		attempt.Body = body
	}
	x.address(attempt)
	if x.grpc || x.pool.key.to.Scheme == SchemeH2C && !x.Upgrade {
		return x.pool.http2.RoundTrip(attempt)
	}
	return x.pool.http.RoundTrip(attempt)
}

// next says where a request that failed goes now, if anywhere.
func (x *exchange) next(r *http.Request, now time.Time, unsent bool) (balance.Target, bool) {
	if !unsent && (x.again || x.Upgrade || !idempotent(r.Method)) {
		return balance.Target{}, false
	}
	if t, ok := x.rule.group.Pick(now, append(slices.Clone(x.tried), x.target.ID)...); ok {
		return t, true
	}
	return x.target, !unsent
}

// idempotent lists what RFC 9110 §9.2.2 does.
func idempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// attemptBody is a request's body for one attempt. The transport closes what it is given even when it
// has not begun to read it: then the next attempt needs it.
type attemptBody struct {
	of    *requestBody
	state atomic.Int32
}

// States of an attemptBody.
const (
	bodyWhole = iota
	bodyBegun
	bodyTaken // away from the attempt, which may still be running
)

var errBodyTaken = errors.New("the attempt is over")

func (b *attemptBody) Read(p []byte) (int, error) {
	if !b.state.CompareAndSwap(bodyWhole, bodyBegun) && b.state.Load() == bodyTaken {
		return 0, errBodyTaken
	}
	return b.of.Read(p)
}

func (b *attemptBody) Close() error {
	if b.state.Load() != bodyBegun {
		return nil // the server closes it when the request is done
	}
	return b.of.Close()
}

// take gets the body back, if nothing of it was read.
func (b *attemptBody) take() bool { return b.state.CompareAndSwap(bodyWhole, bodyTaken) }

// dialError marks what failed before anything was sent.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

func isDialError(err error) bool {
	_, ok := errors.AsType[dialError](err)
	return ok
}
