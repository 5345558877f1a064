package expose

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Backend is what is published.
type Backend struct {
	Scheme string // http, https, h2c, or tcp
	Host   string // "": this machine
	Port   int
}

func (b Backend) String() string { return net.JoinHostPort(b.Host, strconv.Itoa(b.Port)) }

// schemes are how targets are spoken to, with their ports.
var schemes = map[string]int{"http": 80, "https": 443, "h2c": 80, "tcp": 0}

// ParseBackend reads "8080", "192.168.1.5:80", "[::1]:80" or "https://printer:8443". tcp says that raw connections are meant.
func ParseBackend(text string, tcp bool) (Backend, error) {
	b := Backend{Scheme: "http"}
	wrong := func(why string) (Backend, error) {
		return Backend{}, fmt.Errorf("%q: %s; want a port, host:port, or a URL such as http://localhost:8080", text, why)
	}
	rest := text
	if scheme, after, ok := strings.Cut(text, "://"); ok {
		if _, known := schemes[scheme]; !known {
			return wrong("scheme " + scheme + " is none of http, https, h2c and tcp")
		}
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "":
			return wrong("no URL")
		case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
			return wrong("all of a host is published, so no path, query or user")
		}
		b.Scheme, rest = scheme, strings.TrimSuffix(after, "/")
		if u.Port() == "" && schemes[scheme] != 0 {
			rest = net.JoinHostPort(u.Hostname(), strconv.Itoa(schemes[scheme]))
		}
	}
	if tcp {
		if b.Scheme != "http" && b.Scheme != "tcp" || b.Scheme == "http" && strings.Contains(text, "://") {
			return wrong("--tcp is of a port, not of " + b.Scheme)
		}
		b.Scheme = "tcp"
	}
	host, port := "", rest
	if strings.Contains(rest, ":") {
		var err error
		if host, port, err = net.SplitHostPort(rest); err != nil {
			return wrong(err.Error())
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return wrong("port " + strconv.Quote(port))
	}
	if b.Port = int(n); !strings.EqualFold(host, "localhost") {
		b.Host = host
	}
	return b, nil
}

// loopbacks are where programs of this machine listen.
var loopbacks = []string{"127.0.0.1", "::1"}

// local is the address of this machine at which the backend listens, and whether it does so now.
func (b Backend) local(ctx context.Context) (host string, listens bool) {
	hosts := loopbacks
	if b.Host != "" {
		hosts = []string{b.Host}
	}
	d := net.Dialer{Timeout: time.Second}
	for _, h := range hosts {
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(h, strconv.Itoa(b.Port)))
		if err == nil {
			_ = conn.Close()
			return h, true
		}
	}
	return hosts[0], false
}

// here reports whether the backend is this machine.
func (b Backend) here() bool {
	a, err := netip.ParseAddr(b.Host)
	return b.Host == "" || err == nil && a.IsLoopback()
}
