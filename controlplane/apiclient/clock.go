package apiclient

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Reach asks whether the control plane is ready to serve, as a load balancer does, and returns how far its clock is ahead
// of this machine's: to a second, as HTTP says the time.
func (c *Client) Reach(ctx context.Context) (ahead time.Duration, err error) {
	u := *c.base
	u.Path = "/readyz"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	if c.key != "" { // it takes none, but who stands before it may
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	begun := time.Now()
	res, err := c.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("it answers %s", res.Status)
	}
	at, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return 0, nil //nolint:nilerr // whoever stands before it says no time: nothing is known of its clock
	}
	return at.Add(time.Second / 2).Sub(begun.Add(time.Since(begun) / 2)), nil
}
