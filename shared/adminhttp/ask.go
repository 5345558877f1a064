package adminhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const askTime = 5 * time.Second

// Ask returns why the process that listens at an address of this machine is not ready, nil if it is.
func Ask(ctx context.Context, addr string) error {
	if addr == "" {
		return errors.New("listen.admin is not set: nobody can be asked")
	}
	network, at := split(addr)
	if network == "tcp" {
		host, port, err := net.SplitHostPort(at)
		if err != nil {
			return fmt.Errorf("listen.admin: %w", err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			at = net.JoinHostPort("localhost", port)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin/readyz", nil)
	if err != nil {
		return fmt.Errorf("listen.admin: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at)
	}}}
	defer client.CloseIdleConnections()
	r, err := client.Do(req)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(r.Body, 1024))
		return errors.New(strings.TrimSpace(string(said)))
	}
	return nil
}
