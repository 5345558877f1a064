// Package apiclient calls the REST API as a program.
package apiclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// RevisionHeader carries the revision that has what a write asked for, UnchangedHeader that the write did not
// have to make it.
const (
	RevisionHeader  = "X-Warren-Revision"
	UnchangedHeader = "X-Warren-Unchanged"
)

// maxBody bounds what an answer may weigh.
const maxBody = 64 << 20

// Client calls one control plane. Safe for concurrent use.
type Client struct {
	base *url.URL
	key  string
	http *http.Client
}

// Options say how to reach the API.
type Options struct {
	Server string // http(s)://host[:port]
	Key    string // API key
	CAFile string // PEM bundle to trust instead of the system's
}

// New makes a Client; it connects on first use.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.Server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return nil, fmt.Errorf("server %q: want http://host:port or https://host:port", o.Server)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("CA file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CA file %s: no certificate in it", o.CAFile)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return &Client{base: u, key: strings.TrimSpace(o.Key), http: &http.Client{
		Transport: t,
		// A key must not follow a redirect to somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Problem is an RFC 9457 problem document.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
	RequestID string `json:"request_id"`
}

func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Title)
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for _, e := range p.Errors {
		b.WriteString("\n  ")
		if e.Location != "" {
			b.WriteString(strings.TrimPrefix(e.Location, "body.") + ": ")
		}
		b.WriteString(e.Message)
	}
	if p.RequestID != "" {
		b.WriteString("\n  request " + p.RequestID)
	}
	return b.String()
}

// StatusOf returns the HTTP status of a Problem in err's chain, else 0.
func StatusOf(err error) int {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p.Status
	}
	return 0
}

// Passes reports whether a call that only reads is worth making again after err: nobody answered, or somebody who can't at this moment,
// such as a replica that ends.
func Passes(err error) bool {
	switch StatusOf(err) {
	case 0:
		_, cut := errors.AsType[net.Error](err)
		return cut || errors.Is(err, io.ErrUnexpectedEOF)
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// Written is what a write came to. It is zero for other calls.
type Written struct {
	Revision uint64 // has what was asked for; 0 where that is no configuration of nodes
	Changed  bool   // the call wrote; else all was so already
	Tag      string // of one object, read or written: what it is as a whole
}

// Do makes one call. in is the body (nil: none), out takes the answer (nil: dropped). An answer that is no
// success is a *Problem.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) (w Written, err error) {
	return c.DoIf(ctx, method, path, "", in, out)
}

// DoIf is Do of an object that has to have a tag, "" for any; else the answer is a *Problem with status 412.
func (c *Client) DoIf(ctx context.Context, method, path, tag string, in, out any) (w Written, err error) {
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return Written{}, err
		}
	}
	for try := 1; ; try++ {
		var again time.Duration
		w, again, err = c.once(ctx, method, path, tag, body, out)
		if again == 0 || try == tries {
			return w, err
		}
		select {
		case <-ctx.Done():
			return w, err
		case <-time.After(again):
		}
	}
}

// What is done about an answer that says there were too many calls.
const (
	tries   = 4               // at most
	mostGap = 5 * time.Second // for who asks to wait for longer, that is the answer
)

// once makes a call once; again is after how long it may be made again, as nothing of it was done, 0 if not.
func (c *Client) once(ctx context.Context, method, path, tag string, in []byte, out any) (w Written, again time.Duration, err error) {
	ref, err := url.Parse(path)
	if err != nil {
		return Written{}, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.ResolveReference(ref).String(), bytes.NewReader(in))
	if err != nil {
		return Written{}, 0, err
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if tag != "" {
		req.Header.Set("If-Match", tag)
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Written{}, 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return Written{}, 0, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		p := &Problem{}
		if json.Unmarshal(b, p) != nil || p.Title == "" {
			p = &Problem{Title: resp.Status}
		}
		p.Status = resp.StatusCode
		return Written{}, after(resp), p
	}
	if h := resp.Header.Get(RevisionHeader); h != "" {
		if w.Revision, err = strconv.ParseUint(h, 10, 64); err != nil {
			return Written{}, 0, fmt.Errorf("%s %s: header %s: %w", method, path, RevisionHeader, err)
		}
	}
	w.Tag = resp.Header.Get("ETag")
	w.Changed = method != http.MethodGet && resp.Header.Get(UnchangedHeader) == ""
	if out != nil && len(b) > 0 {
		if err := json.Unmarshal(b, out); err != nil {
			return w, 0, fmt.Errorf("%s %s: answer: %w", method, path, err)
		}
	}
	return w, 0, nil
}

// after is how long an answer asks to wait because there were too many calls, 0 if it does not, or for too long.
func after(resp *http.Response) time.Duration {
	n, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	gap := time.Duration(n) * time.Second
	if resp.StatusCode != http.StatusTooManyRequests || err != nil || n <= 0 || gap > mostGap {
		return 0
	}
	return gap
}
