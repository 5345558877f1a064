package expose

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient"
)

// readyTime bounds how long it is asked for before that is given up; what is published stays all the same.
const readyTime = 15 * time.Second

// errUnreached says that a node knows the URL, and reaches nothing behind it.
var errUnreached = errors.New("nothing is reached there")

// answers completes the URL and asks for it until it answers. That nothing does is said, and no error.
func (r *run) answers(ctx context.Context, p *Published, rev uint64) error {
	nodes, err := r.Edges(ctx, r.pool)
	if err != nil {
		return err
	}
	var at string // a node's address, if it is known
	if len(nodes) > 0 {
		at = nodes[0].String()
		r.place(p, nodes[0])
	} else if r.host != "" {
		at = net.JoinHostPort(r.host, "443")
	}
	if at == "" {
		r.Say("port %d of each node of pool %s; which those are, this account may not read", r.Port, r.pool)
		if _, err := r.API.Applied(ctx, rev, readyTime); apiclient.StatusOf(err) != http.StatusGatewayTimeout {
			return err
		}
		return nil
	}
	idle := false // what is published: to get as far as there is all that can be hoped for
	if r.What.here() {
		if _, listens := r.What.local(ctx); !listens {
			r.Say("nothing listens at %s on this machine yet", r.What)
			idle = true
		}
	}
	try, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	err = r.ask(try, at, p)
	for pause := 20 * time.Millisecond; err != nil; pause = min(2*pause, 500*time.Millisecond) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.own.failed():
			return r.own.lastWords()
		case <-try.Done():
			r.Say("it does not answer yet: %v", err)
			return nil
		case <-time.After(pause):
		}
		if idle && errors.Is(err, errUnreached) {
			return nil
		}
		err = r.ask(try, at, p)
	}
	p.Verified = true
	return nil
}

// place puts a node's address, or the port of its TLS, into the URL.
func (r *run) place(p *Published, node netip.AddrPort) {
	switch {
	case r.What.Scheme == "tcp":
		p.URL = "tcp://" + net.JoinHostPort(node.Addr().String(), strconv.Itoa(r.Port))
	case node.Port() != 443:
		p.URL = "https://" + net.JoinHostPort(r.host, strconv.Itoa(int(node.Port()))) + "/"
	}
}

// ask asks for the URL once.
func (r *run) ask(ctx context.Context, at string, p *Published) error {
	var d net.Dialer
	if r.What.Scheme == "tcp" {
		host, _, err := net.SplitHostPort(at)
		if err != nil {
			return err
		}
		conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(r.Port)))
		if err != nil {
			return err
		}
		return open(conn)
	}
	t := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, // VerifyConnection does it
			VerifyConnection: func(s tls.ConnectionState) error {
				own, err := verified(s, r.Roots)
				p.OwnCA = own
				return err
			},
		},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "tcp", at) },
	}
	defer t.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, p.URL, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "warren-expose")
	res, err := t.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fmt.Errorf("%s: %s: %w", p.URL, res.Status, errUnreached)
	case http.StatusMisdirectedRequest: // of a node that does not know the name yet
		return fmt.Errorf("%s: %s", p.URL, res.Status)
	}
	return nil
}

// settle is how long a connection has to stay open to count as one to the target: a node that reaches none closes it at once.
const settle = 150 * time.Millisecond

// open reports whether a raw connection leads somewhere, and closes it.
func open(conn net.Conn) error {
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(settle)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the node closes the connection: %w", errors.Join(errUnreached, err))
	}
	return nil
}

// verified reports whether a certificate is of the cluster's own authority, and not of one that the system trusts.
func verified(s tls.ConnectionState, own *x509.CertPool) (bool, error) {
	if len(s.PeerCertificates) == 0 {
		return false, errors.New("no certificate")
	}
	o := x509.VerifyOptions{DNSName: s.ServerName, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(o)
	if err == nil || own == nil {
		return false, err
	}
	o.Roots = own
	_, err = s.PeerCertificates[0].Verify(o)
	return true, err
}
