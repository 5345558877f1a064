package apiclient

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Stream makes a call whose answer goes on, and gives its body. An answer that is no success is a *Problem.
func (c *Client) Stream(ctx context.Context, path string) (io.ReadCloser, error) {
	ref, err := url.Parse(path)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.ResolveReference(ref).String(), nil)
	if err != nil {
		return nil, err
	}
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	p := &Problem{}
	if json.Unmarshal(b, p) != nil || p.Title == "" {
		p = &Problem{Title: resp.Status}
	}
	p.Status = resp.StatusCode
	return nil, p
}

// maxEvent bounds a line of a stream of events.
const maxEvent = 1 << 20

// Events reads server-sent events until the stream ends, or yield has an error.
func (c *Client) Events(ctx context.Context, path string, yield func(name string, data []byte) error) error {
	body, err := c.Stream(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	lines, name := bufio.NewScanner(body), ""
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		line := lines.Text()
		if n, ok := strings.CutPrefix(line, "event: "); ok {
			name = n
		} else if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := yield(name, []byte(data)); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
