package acme

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	lego "github.com/go-acme/lego/v4/acme"
	"github.com/go-acme/lego/v4/acme/api"
)

// reply is what a CA answered to the one request of a call that was not about a nonce.
type reply struct {
	url        *url.URL // what was asked
	status     int
	header     http.Header
	body       []byte
	at         time.Time // when it came
	retryAfter time.Time // zero: it named none
}

// exchange stands under lego's Core for one attempt of one call. lego has no context: each request gets the
// call's here. The directory comes from the cache, nonces from the pool, and whatever is no success ends
// the call as a *Problem before lego reads it, so that it neither retries nor sleeps.
type exchange struct {
	ctx   context.Context // of the call; a RoundTripper has no other way to learn it
	c     *Client
	dir   *directory
	reply reply
	err   error // the first failure; what lego makes of it loses its type
}

// RoundTrip implements http.RoundTripper.
func (e *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	switch req.Method {
	case http.MethodGet: // Core reads nothing else with it
		return answer(req, http.StatusOK, http.Header{}, e.dir.raw), nil
	case http.MethodHead: // new-nonce (RFC 8555 §7.2)
		if n, ok := e.c.nonces.pop(time.Now()); ok {
			return answer(req, http.StatusOK, http.Header{"Replay-Nonce": {n}}, nil), nil
		}
	}
	r, err := e.c.send(e.ctx, req)
	if err != nil {
		e.err = err
		return nil, err
	}
	nonce := r.header.Get("Replay-Nonce")
	if req.Method == http.MethodHead {
		if nonce == "" || len(nonce) > maxNonceLen {
			e.err = &Problem{Status: r.status, Detail: "the CA answered new-nonce without a usable nonce"}
			return nil, e.err
		}
	} else { // lego's Core ends with the attempt: what it would keep is kept here
		e.c.nonces.push(nonce, time.Now())
		e.reply = *r
	}
	return answer(req, r.status, r.header, r.body), nil
}

// send carries one request and reads its reply whole. Whatever is not 2xx is a *Problem. It may be used
// without lego.
func (c *Client) send(ctx context.Context, req *http.Request) (*reply, error) {
	req = req.Clone(ctx)
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Accept-Language", "en")
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, &url.Error{Op: req.Method, URL: req.URL.String(), Err: err}
	}
	defer resp.Body.Close()
	now := time.Now()
	r := &reply{url: req.URL, status: resp.StatusCode, header: resp.Header.Clone(), at: now, retryAfter: RetryAt(resp.Header, now)}
	r.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if len(r.body) > maxBody {
		return nil, r.unusable("the CA's reply has more than %d bytes", maxBody)
	}
	if r.status/100 != 2 { // a half-read problem is a problem, too
		c.nonces.push(r.header.Get("Replay-Nonce"), now)
		return nil, parseProblem(r)
	}
	if err != nil {
		return nil, &url.Error{Op: req.Method, URL: req.URL.String(), Err: fmt.Errorf("read the reply: %w", err)}
	}
	return r, nil
}

func answer(req *http.Request, status int, h http.Header, body []byte) *http.Response {
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}

// maxNonceTries is how often one request is signed anew. At half of all nonces rejected, one call in 4,000
// still fails; its caller tries again later.
const maxNonceTries = 12

// attempt is one try of a call: it sends one request through e, with lego's Core or alone.
type attempt func(e *exchange, a *account) error

// call makes attempts until one is refused neither for its nonce nor for a key that was changed meanwhile. what names the call in errors; a signs, nil: the Client's account.
func (c *Client) call(ctx context.Context, what string, a *account, try attempt) (*reply, error) {
	ctx, cancel := c.withDeadline(ctx)
	defer cancel()
	dir, err := c.directory(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	for n := 1; ; n++ {
		signer := a
		if signer == nil {
			signer = c.account.Load()
			if signer.url == "" {
				return nil, fmt.Errorf("%s: %w", what, notRegistered())
			}
		}
		e := &exchange{ctx: ctx, c: c, dir: dir}
		err := try(e, signer)
		if e.err != nil {
			err = e.err
		}
		if err == nil {
			return &e.reply, nil
		}
		p, _ := errors.AsType[*Problem](err)
		switch {
		case p != nil && p.Type == badNonce && n < maxNonceTries && p.RetryAfter.IsZero():
			if err := pause(ctx, n); err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
		case p != nil && a == nil && n < maxNonceTries && doubtsKey(p) && c.rolledOver(ctx, signer):
		case p != nil && a == nil && doubtsKey(p) && p.Type != accountDoesNotExist && c.disowned(ctx, signer):
			return &e.reply, fmt.Errorf("%s: %w", what, &Problem{Type: accountDoesNotExist, Status: p.Status, Detail: "the account has another key now: " + p.Detail, otherKey: true})
		default:
			return &e.reply, fmt.Errorf("%s: %w", what, wordless(err, &e.reply))
		}
	}
}

// doubtsKey says whether a problem may be about who has signed: CAs have several words for it.
func doubtsKey(p *Problem) bool {
	return p.Type == malformed || p.Type == unauthorized || p.Type == accountDoesNotExist
}

// disowned says whether the CA knows an account's key no more: another process has rolled it over. Else that
// would look like a request that can never succeed.
func (c *Client) disowned(ctx context.Context, signer *account) bool {
	_, err := c.register(ctx, signer.key, lego.Account{OnlyReturnExisting: true}, nil)
	p, ok := errors.AsType[*Problem](err)
	return ok && p.Type == accountDoesNotExist
}

// rolledOver says whether the key that a refused request was signed with has been replaced, once a Rollover
// that is under way has ended.
func (c *Client) rolledOver(ctx context.Context, signer *account) bool {
	select {
	case <-c.rolling:
		c.rolling <- struct{}{}
	case <-ctx.Done():
		return false
	}
	return c.account.Load() != signer
}

// pause spreads the tries of clients whose nonces a CA has forgotten: none before the second and third, then
// up to 50 ms, 100 ms … 1 s.
func pause(ctx context.Context, n int) error {
	if n < 3 {
		return ctx.Err()
	}
	most := min(50*time.Millisecond<<(n-3), time.Second)
	t := time.NewTimer(rand.N(most) + 1)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// wordless turns what lego says of a reply that it can't read, with the whole reply in it, into a Problem.
func wordless(err error, r *reply) error {
	if _, ok := errors.AsType[*Problem](err); ok {
		return err
	}
	if _, ok := errors.AsType[*url.Error](err); ok || r.status == 0 {
		return err
	}
	return r.unusable("the CA's reply can't be used: %v", err)
}

// core is call with lego's Core.
func (c *Client) core(ctx context.Context, what string, a *account, f func(*api.Core) error) (*reply, error) {
	return c.call(ctx, what, a, func(e *exchange, a *account) error {
		core, err := api.New(&http.Client{Transport: e}, c.userAgent, c.url, a.url, a.key)
		if err != nil {
			return err
		}
		return f(core)
	})
}

// object checks that a reply is a JSON object, which lego's parser does not ask for, and fills v.
func (r *reply) object(v any) error {
	if err := json.Unmarshal(r.body, v); err != nil || !bytes.HasPrefix(bytes.TrimSpace(r.body), []byte("{")) {
		return r.unusable("the CA's reply is not what was asked for: %s", r.body)
	}
	return nil
}

// unusable is a Problem of this side's making about a reply: nobody refused anything.
func (r *reply) unusable(format string, args ...any) *Problem {
	return &Problem{Status: r.status, RetryAfter: r.within(pollMost), Detail: clean(fmt.Sprintf(format, args...), maxDetail)}
}
