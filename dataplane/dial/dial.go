// Package dial connects to hosts by name. The name is looked up for each connection, and all of its addresses
// are tried, of both families, none for long before the next one is tried beside it (RFC 8305).
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/warrenedge/warren/shared/endpoint"
)

// Times and bounds of a Dialer.
const (
	nextAfter = 250 * time.Millisecond // between attempts; none of them waits for one that has failed
	tryFor    = 10 * time.Second       // an attempt
	tryMost   = 64                     // addresses of a name
)

// Lookup gives the addresses of a name.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// System is the Lookup of the system.
func System(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Dialer connects over TCP. The zero value asks the system. Safe for concurrent use.
type Dialer struct {
	Lookup  Lookup
	Connect func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// DialContext connects to a host:port. The error names each address that was tried.
func (d Dialer) DialContext(ctx context.Context, address string) (net.Conn, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", address, err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, fmt.Errorf("dial %q: %w", address, err)
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return d.connect(ctx, address, addrs, uint16(port))
}

// Dial connects to an endpoint. A name that can't be looked up is taken for the address that it is known to have had.
func (d Dialer) Dial(ctx context.Context, to endpoint.Endpoint) (net.Conn, error) {
	addrs, err := []netip.Addr{to.Addr.Addr()}, errors.New("no address")
	if to.Host != "" {
		var found []netip.Addr
		if found, err = d.lookup(ctx, to.Host); err == nil {
			addrs = found
		}
	}
	if !addrs[0].IsValid() {
		return nil, fmt.Errorf("dial %q: %w", to, err)
	}
	return d.connect(ctx, to.String(), addrs, to.Addr.Port())
}

func (d Dialer) connect(ctx context.Context, address string, addrs []netip.Addr, port uint16) (net.Conn, error) {
	conn, err := d.race(ctx, order(addrs), port)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}

func (d Dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	lookup := d.Lookup
	if lookup == nil {
		lookup = System
	}
	addrs, err := lookup(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no addresses")
	}
	return addrs, err
}

// order lets the families take turns, from that of the first address on, and each address come once.
func order(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	first := len(addrs) > 0 && addrs[0].Unmap().Is4()
	for _, a := range addrs {
		a = a.Unmap()
		f := &families[0]
		if a.Is4() != first {
			f = &families[1]
		}
		if !slices.Contains(*f, a) {
			*f = append(*f, a)
		}
	}
	var out []netip.Addr
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) {
				out = append(out, f[i])
			}
		}
	}
	return out[:min(len(out), tryMost)]
}

type result struct {
	conn net.Conn
	err  error
}

// race gives the first connection that is made. Others that are made too late are closed before it returns.
func (d Dialer) race(ctx context.Context, addrs []netip.Addr, port uint16) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result, len(addrs))
	started, ended := 0, 0
	defer func() {
		cancel()
		for ; ended < started; ended++ {
			if r := <-results; r.conn != nil {
				_ = r.conn.Close()
			}
		}
	}()
	begin := func() {
		to := netip.AddrPortFrom(addrs[started], port)
		started++
		go func() { results <- d.try(ctx, to) }()
	}
	var errs []error
	next := time.NewTimer(nextAfter)
	defer next.Stop()
	begin()
	for {
		more := next.C
		if started == len(addrs) {
			more = nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(append(errs, ctx.Err())...)
		case r := <-results:
			ended++
			if r.err == nil {
				return r.conn, nil
			}
			if errs = append(errs, r.err); len(errs) == len(addrs) {
				return nil, errors.Join(errs...)
			}
			if started == len(addrs) {
				continue
			}
		case <-more:
		}
		begin()
		next.Reset(nextAfter)
	}
}

func (d Dialer) try(ctx context.Context, to netip.AddrPort) result {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	connect := d.Connect
	if connect == nil {
		connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", to.String())
		}
	}
	conn, err := connect(ctx, to)
	if err != nil {
		return result{err: err}
	}
	return result{conn: conn}
}

// GRPC lets gRPC connect to an address this way; where the environment names a proxy for it, gRPC goes by that.
func GRPC(address string) grpc.DialOption {
	req := &http.Request{URL: &url.URL{Scheme: "https", Host: address}}
	if proxy, err := http.ProxyFromEnvironment(req); proxy != nil || err != nil {
		return grpc.EmptyDialOption{}
	}
	return grpc.WithContextDialer(Dialer{}.DialContext)
}
