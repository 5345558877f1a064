package acme_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// hung never answers, or never ends its answer.
type hung struct {
	fake *fake
	body io.Reader // nil: no answer at all
}

func (h *hung) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return h.fake.RoundTrip(r)
	}
	if h.body == nil {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(&untilDone{r.Context(), h.body}), Request: r}, nil
}

// untilDone reads like a body: a context that ends, ends it.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err == io.EOF {
		<-u.ctx.Done()
		return n, u.ctx.Err()
	}
	return n, err
}

func TestDeadlineAndCancel(t *testing.T) {
	for name, body := range map[string]io.Reader{"no reply": nil, "half a reply": strings.NewReader(`{"status":`)} {
		bubbletest.Run(t, func(t *testing.T) {
			c, err := acme.New(acme.Options{
				Directory: base + "/dir", Key: newKey(t), AccountURL: base + "/acct/1", Timeout: 20 * time.Second,
				Transport: &hung{newFake(t, nil), body},
			})
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			_, err = c.Order(t.Context(), base+"/o")
			if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || acme.Class(err) != acme.Retry || took != 20*time.Second {
				t.Errorf("%s: after %v: %v (%v)", name, took, err, acme.Class(err))
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			begin = time.Now()
			_, err = c.Order(ctx, base+"/o")
			if took := time.Since(begin); !errors.Is(err, context.Canceled) || took != 3*time.Second {
				t.Errorf("%s: cancelled after 3 s, returned after %v: %v", name, took, err)
			}
			if err := c.Rollover(ctx, newKey(t)); !errors.Is(err, context.Canceled) {
				t.Errorf("rollover in a context that has ended: %v", err)
			}
		})
	}
}

// A cancelled call does not wait for the pause between bad nonces to end.
func TestCancelBetweenNonces(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			if n++; n == 5 {
				cancel()
			}
			problem(w, 400, "badNonce", "again")
		})
		if _, err := f.client(t).Order(ctx, base+"/o"); !errors.Is(err, context.Canceled) || n != 5 {
			t.Errorf("%d tries, error %v", n, err)
		}
	})
}

// endless is a body without an end; it counts what was read.
type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n += len(p)
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

func (e *endless) Close() error { return nil }

// flood answers with a body that never ends.
type flood struct {
	fake   *fake
	status int
	path   string // empty: every POST
	body   endless
}

func (e *flood) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != e.path && (e.path != "" || r.Method != http.MethodPost) {
		return e.fake.RoundTrip(r)
	}
	return &http.Response{StatusCode: e.status, Header: http.Header{}, Body: &e.body, Request: r}, nil
}

func TestT43EndlessBodies(t *testing.T) {
	chain := selfSigned(t, "a.example", nil)
	for name, call := range map[string]func(*acme.Client) error{
		"directory":     func(c *acme.Client) error { _, err := c.Directory(t.Context()); return err },
		"new-account":   func(c *acme.Client) error { _, err := c.Register(t.Context(), nil, nil, true); return err },
		"order":         func(c *acme.Client) error { _, err := c.Order(t.Context(), base+"/o"); return err },
		"authorization": func(c *acme.Client) error { _, err := c.Authorization(t.Context(), base+"/a"); return err },
		"challenge":     func(c *acme.Client) error { return c.Initiate(t.Context(), base+"/c") },
		"certificate":   func(c *acme.Client) error { _, _, err := c.Certificate(t.Context(), base+"/cert"); return err },
		"renewal-info":  func(c *acme.Client) error { _, err := c.RenewalInfo(t.Context(), chain); return err },
		"rollover":      func(c *acme.Client) error { return c.Rollover(t.Context(), newKey(t)) },
	} {
		for _, status := range []int{200, 400, 503} {
			id, _ := acme.CertID(chain)
			e := &flood{fake: newFake(t, nil), status: status, path: map[string]string{"directory": "/dir", "renewal-info": "/ari/" + id}[name]}
			c, err := acme.New(acme.Options{Directory: base + "/dir", Key: newKey(t), AccountURL: base + "/acct/1", Transport: e})
			if err != nil {
				t.Fatal(err)
			}
			if err := call(c); err == nil || len(err.Error()) > 2000 {
				t.Errorf("%s, %d: error of %d bytes", name, status, len(err.Error()))
			} else if k := acme.Class(err); k != acme.Retry {
				t.Errorf("%s, %d: class %v: %v", name, status, k, err)
			}
			if most := 4 << 20; e.body.n == 0 || e.body.n > most { // rollover asks twice
				t.Errorf("%s, %d: %d bytes were read, want %d at most", name, status, e.body.n, most)
			}
		}
	}
}

// The Client's own transport bounds headers.
func TestT43EndlessHeaders(t *testing.T) {
	sent := make(chan int, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		n := 0
		line := []byte("X-More: " + strings.Repeat("a", 1000) + "\r\n")
		for _, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"); err == nil && n < 256<<20; n += len(line) {
			_, err = conn.Write(line)
		}
		sent <- n
	}))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c, err := acme.New(acme.Options{Directory: server.URL + "/dir", Roots: roots, Key: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Directory(t.Context()); acme.Class(err) != acme.Retry {
		t.Errorf("%v (%v)", err, acme.Class(err))
	}
	if n := <-sent; n > 32<<20 { // what stands in the kernel's buffers, too
		t.Errorf("%d bytes of headers were taken", n)
	}
}
