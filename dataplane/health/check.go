package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// Bounds of what is read of an answer.
const (
	headBytes = 64 << 10
	bodyBytes = 64 << 10
)

// check makes one check. The error is what a person should read: it names nothing of what the target sent.
func (c *Checker) check(ctx context.Context, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, t.Check.Timeout)
	defer cancel()
	err := c.attempt(ctx, t)
	if err != nil && ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer within %v", t.Check.Timeout)
	}
	return err
}

func (c *Checker) attempt(ctx context.Context, t Target) error {
	if h := t.Check.HTTP; h != nil {
		return c.request(ctx, t, h)
	}
	conn, err := c.dial(ctx, t.ID)
	if err != nil {
		return bare(err)
	}
	return conn.Close()
}

// request makes an HTTP check on a connection of its own: one that is kept says nothing about new ones.
func (c *Checker) request(ctx context.Context, t Target, h *HTTP) error {
	u, err := url.ParseRequestURI(h.Path)
	if err != nil {
		return fmt.Errorf("path %q: %w", h.Path, err)
	}
	u.Scheme, u.Host = "http", t.Address
	if h.TLS {
		u.Scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, h.Method, u.String(), nil)
	if err != nil {
		return err
	}
	for name, values := range h.Headers {
		req.Header[name] = values
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "warren-health-check")
	}
	if h.Host != "" {
		req.Host = h.Host
	}
	tr := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, t.ID) },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: headBytes,
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true, ServerName: serverName(req.Host)},
	}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return bare(err)
	}
	defer resp.Body.Close()
	if !h.expects(resp.StatusCode) {
		return fmt.Errorf("status %d, expected %s", resp.StatusCode, h.expected())
	}
	if h.BodyContains == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyBytes))
	if bytes.Contains(body, []byte(h.BodyContains)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the answer: %w", bare(err))
	}
	return fmt.Errorf("the answer does not contain %q", h.BodyContains)
}

func serverName(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		return h
	}
	return hostport
}

func (h *HTTP) expects(status int) bool {
	for _, r := range h.Statuses {
		if r.First <= status && status <= r.Last {
			return true
		}
	}
	return false
}

func (h *HTTP) expected() string {
	var parts []string
	for _, r := range h.Statuses {
		if r.First == r.Last {
			parts = append(parts, fmt.Sprint(r.First))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
	}
	return strings.Join(parts, ",")
}

// bare takes the addresses of sockets off an error: they change with each attempt, and so would the report.
func bare(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
