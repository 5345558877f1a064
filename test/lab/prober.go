package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Dialer is where a prober stands: a Host.
type Dialer interface {
	Dial(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)
}

// Probe says what a prober asks, and how often.
type Probe struct {
	From    Dialer
	URL     string
	Rate    float64       // requests per second, sent whether or not earlier ones were answered
	Timeout time.Duration // of one request; 5 s
	TLS     *tls.Config
	// Resolve finds the address of the URL's host for each new connection; nil means that it is an address.
	Resolve func(ctx context.Context, host string) (netip.Addr, error)
	Fresh   bool // a new connection for each request
	// Conns is how many connections, and requests on them, there are at once at most; 0 is no limit: a slow answer opens more.
	// Who waits for one waits Timeout at most, and has all of Timeout then. Else all that once waited that long would be sent
	// when it is too late, be given up, and take a new connection from who comes next: a prober that has fallen behind would
	// stay there, however well it is served.
	Conns int
}

// inFlight is how many requests may be under way; one more is not sent and counted as failed.
const inFlight = 10000

// Prober sends requests from outside and keeps account of them. A request fails as a whole: nothing is tried twice.
type Prober struct {
	probe  Probe
	client *http.Transport
	turns  chan struct{} // holds one for each request under way; nil: there is no limit
	lost   atomic.Int64

	mu       sync.Mutex // guards the following
	start    time.Time  // zero: not running yet
	outcomes []Outcome  // every request of the run
	marked   []mark
}

type mark struct {
	name string
	at   time.Time
}

// NewProber makes a prober.
func NewProber(p Probe) (*Prober, error) {
	if p.Rate <= 0 || p.From == nil {
		return nil, fmt.Errorf("probe %s: rate %v, want more than 0, from a host", p.URL, p.Rate)
	}
	if _, err := http.NewRequest(http.MethodGet, p.URL, nil); err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	if p.Timeout == 0 {
		p.Timeout = 5 * time.Second
	}
	pr := &Prober{probe: p}
	if p.Conns > 0 {
		pr.turns = make(chan struct{}, p.Conns)
	}
	pr.client = &http.Transport{
		DialContext:         pr.dial,
		TLSClientConfig:     p.TLS,
		DisableKeepAlives:   p.Fresh,
		DisableCompression:  true,
		MaxIdleConnsPerHost: inFlight,
		MaxConnsPerHost:     p.Conns,
	}
	return pr, nil
}

// Mark says that something was done just now; the report tells how long it took to get over it.
func (p *Prober) Mark(event string) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marked = append(p.marked, mark{event, now})
}

// Report accounts for the requests that have ended.
func (p *Prober) Report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	var events []Event
	for _, m := range p.marked {
		events = append(events, Event{m.name, m.at.Sub(p.start)})
	}
	return Account(p.outcomes, events, int(p.lost.Load()))
}

// Outcomes are the requests that have ended, for whoever asks of them what the report doesn't say.
func (p *Prober) Outcomes() []Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.outcomes)
}

// Run sends requests until ctx ends, then waits for the last.
func (p *Prober) Run(ctx context.Context) error {
	start := time.Now()
	p.mu.Lock()
	p.start = start
	p.mu.Unlock()
	var wg sync.WaitGroup
	defer p.client.CloseIdleConnections()
	defer wg.Wait()
	slots := make(chan struct{}, inFlight)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 1; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		// By the clock, not by the distance to the last: what a busy machine delays is caught up.
		timer.Reset(time.Until(start.Add(time.Duration(float64(i) / p.probe.Rate * float64(time.Second)))))
		sent := time.Since(start)
		select {
		case slots <- struct{}{}:
		default:
			p.add(Outcome{sent, sent, notSent(inFlight)})
			continue
		}
		wg.Go(func() {
			failure := p.request(context.WithoutCancel(ctx))
			p.add(Outcome{sent, time.Since(start), failure})
			<-slots
		})
	}
}

func notSent(underWay int) string { return "not sent: " + strconv.Itoa(underWay) + " under way" }

func (p *Prober) add(o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcomes = append(p.outcomes, o)
}

// empty is a body that net/http doesn't know to be empty: it keeps it from sending a request a second time by itself.
type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }

// request sends one request and says why it failed.
func (p *Prober) request(ctx context.Context) (failure string) {
	if p.turns != nil {
		wait := time.NewTimer(p.probe.Timeout)
		defer wait.Stop()
		select {
		case p.turns <- struct{}{}:
			defer func() { <-p.turns }()
		case <-wait.C:
			return notSent(p.probe.Conns)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.probe.Timeout)
	defer cancel()
	var conn *watched
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		c := info.Conn
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		conn, _ = c.(*watched)
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.probe.URL, empty{})
	if err != nil {
		return reason(err)
	}
	resp, err := p.client.RoundTrip(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if err != nil {
		if conn != nil {
			conn.isLost()
		}
		return reason(err)
	}
	if resp.StatusCode/100 != 2 {
		return "status " + strconv.Itoa(resp.StatusCode)
	}
	return ""
}

func (p *Prober) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	var ip netip.Addr
	if p.probe.Resolve != nil {
		ip, err = p.probe.Resolve(ctx, host)
	} else {
		ip, err = netip.ParseAddr(host)
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%w: %w", errName, err)}
	}
	c, err := p.probe.From.Dial(ctx, network, netip.AddrPortFrom(ip, uint16(n)))
	if err != nil {
		return nil, err
	}
	return &watched{Conn: c, lost: &p.lost}, nil
}

// Resolver asks a name server from a host for one of a name's IPv4 addresses, the first that it says.
func Resolver(from Dialer, server netip.Addr) func(ctx context.Context, host string) (netip.Addr, error) {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return from.Dial(ctx, network, netip.AddrPortFrom(server, 53))
	}}
	return func(ctx context.Context, host string) (netip.Addr, error) {
		addrs, err := r.LookupNetIP(ctx, "ip4", host+".")
		if err != nil {
			return netip.Addr{}, err
		}
		return addrs[0].Unmap(), nil
	}
}

// watched counts itself when it breaks.
type watched struct {
	net.Conn
	lost *atomic.Int64
	once sync.Once
}

func (w *watched) isLost() { w.once.Do(func() { w.lost.Add(1) }) }

// Read notices a connection that breaks while nobody uses it. One that ends in order is not lost.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
		w.isLost()
	}
	return n, err
}

var errName = errors.New("no address")

// reason puts an error into one of few classes.
func reason(err error) string {
	var cert *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case errors.Is(err, errName):
		return "no address"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return "ended"
	case errors.As(err, &cert), errors.As(err, &unknown), errors.As(err, &alert):
		return "tls"
	}
	return "other: " + err.Error()
}
