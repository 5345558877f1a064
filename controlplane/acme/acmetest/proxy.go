package acmetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Proxy stands before a CA: clients use its Directory, and every URL that they get leads through it. It does
// faults, and counts what reached the CA and what should not have come.
type Proxy struct {
	Directory string
	Roots     *x509.CertPool
	RootsPEM  []byte

	upstream string // host:port of the CA
	server   *http.Server
	client   *http.Transport
	served   chan struct{}
	started  time.Time

	mu     sync.Mutex
	rand   *rand.Rand       // guarded by mu
	faults Faults           // guarded by mu
	next   map[Kind][]Fault // guarded by mu; before any share
	down   bool             // guarded by mu
	book   book             // guarded by mu

	boulder bool // guarded by mu
}

// StartProxy runs a Proxy for a test. seed decides who meets which fault.
func StartProxy(t testing.TB, ca *CA, seed uint64) *Proxy {
	t.Helper()
	p, err := RunProxy(ca.Directory, ca.Roots, "127.0.0.1:0", seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// RunProxy starts a Proxy before the CA with a directory.
func RunProxy(directory string, roots *x509.CertPool, listen string, seed uint64) (*Proxy, error) {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	return ServeProxy(directory, roots, l, nil, seed)
}

// ServeProxy starts one at a listener, which may stand elsewhere, on a host of the lab for instance: dial then is how the CA is reached from
// there. It closes the listener.
func ServeProxy(directory string, roots *x509.CertPool, l net.Listener, dial func(ctx context.Context, network, address string) (net.Conn, error), seed uint64) (*Proxy, error) {
	req, err := http.NewRequest(http.MethodGet, directory, nil)
	if err != nil {
		l.Close()
		return nil, err
	}
	a, err := newAuthority(l.Addr().String())
	if err != nil {
		l.Close()
		return nil, err
	}
	cert, err := tls.X509KeyPair(a.cert, a.key)
	if err != nil {
		l.Close()
		return nil, err
	}
	p := &Proxy{
		Directory: "https://" + l.Addr().String() + req.URL.Path, Roots: a.pool, RootsPEM: a.root, upstream: req.URL.Host,
		client: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}, DialContext: dial, MaxIdleConnsPerHost: 32},
		rand:   rand.New(rand.NewPCG(seed, 1)), next: map[Kind][]Fault{}, book: newBook(), served: make(chan struct{}), started: time.Now(),
	}
	p.server = &http.Server{
		Handler: p, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { defer close(p.served); p.server.ServeTLS(l, "", "") }()
	return p, nil
}

// Stop ends it with all its connections.
func (p *Proxy) Stop() {
	p.server.Close()
	<-p.served
	p.client.CloseIdleConnections()
}

// Set replaces the faults.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// Next makes the next requests of a kind meet faults, in this order.
func (p *Proxy) Next(k Kind, f ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[k] = append(p.next[k], f...)
}

// Down makes the CA unreachable, or reachable again.
func (p *Proxy) Down(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// plan decides about one request and writes it down.
func (p *Proxy) plan(a asked, now time.Time) (f Fault, coin int, limit, slow time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.book.arrived(a, now)
	x, coin := p.rand.Float64(), p.rand.IntN(1<<16)
	limit, slow = max(p.faults.LimitFor, time.Second).Truncate(time.Second), p.faults.TrickleFor
	if slow == 0 {
		slow = 200 * time.Millisecond
	}
	switch q := p.next[a.kind]; {
	case p.down:
		f = Refuse
	case len(q) > 0:
		f, p.next[a.kind] = q[0], q[1:]
	default:
		f = p.faults.pick(x, a)
	}
	p.book.faults[f]++
	return f, coin, limit, slow
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	a := read(r, body)
	a.began = p.began(r)
	fault, coin, limit, slow := p.plan(a, time.Now())
	entry := Entry{At: time.Now(), Kind: a.kind, Account: a.account, Path: a.path, Names: a.names, Fault: fault}
	if fault == Refuse || fault == Fail || fault == Limit || fault == HTML {
		p.enter(entry)
	}
	switch fault {
	case Refuse:
		panic(http.ErrAbortHandler)
	case Fail:
		problem(w, []int{500, 502, 503}[coin%3], "serverInternal", "the proxy says no")
		return
	case Limit:
		w.Header().Set(waitHeader, strconv.Itoa(p.limited(a, limit)))
		w.Header().Set("Retry-After", strconv.Itoa(int(limit/time.Second)))
		problem(w, http.StatusTooManyRequests, "rateLimited", p.limitSays())
		return
	case HTML:
		page(w, []int{http.StatusBadGateway, http.StatusForbidden}[coin%2])
		return
	}
	status, header, reply, err := p.answer(r, a, body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	entry.Status = status
	p.enter(entry)
	switch fault {
	case Lose:
		panic(http.ErrAbortHandler)
	case HTMLAfter:
		page(w, http.StatusOK)
		return
	}
	for k, v := range header {
		w.Header()[k] = v
	}
	w.WriteHeader(status)
	if fault == Trickle {
		trickle(w, r, reply, slow)
		return
	}
	w.Write(reply)
}

func (p *Proxy) limitSays() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.faults.LimitSays, "too many requests of this kind")
}

func (p *Proxy) enter(e Entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.book.enter(e)
}

func (p *Proxy) limited(a asked, d time.Duration) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	return p.book.limited(a, now, now.Add(d))
}

// answer is what the CA says.
func (p *Proxy) answer(r *http.Request, a asked, body []byte) (int, http.Header, []byte, error) {
	if url, order, ok := p.unfinished(a); ok {
		return p.again(url, order)
	}
	status, header, reply, err := p.forward(r, body)
	if err != nil {
		return 0, nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.book.answered(a, status, header, reply, time.Now()); n > 0 {
		header.Set(waitHeader, strconv.Itoa(n))
	}
	if p.boulder && (a.kind == NewAccount || a.kind == AccountRead) {
		reply = withoutList(reply)
	}
	return status, header, reply, nil
}

// forward keeps the Host, from which Pebble makes its URLs. It goes on when the client has ended meanwhile: the CA
// has done the work by then, and the book must have it.
func (p *Proxy) forward(r *http.Request, body []byte) (int, http.Header, []byte, error) {
	out := r.Clone(context.WithoutCancel(r.Context()))
	out.RequestURI, out.Body, out.ContentLength = "", io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.URL.Scheme, out.URL.Host = "https", p.upstream
	resp, err := p.client.RoundTrip(out)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	resp.Header.Del("Content-Length")
	return resp.StatusCode, resp.Header, reply, err
}

func problem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q,"status":%d}`, kind, detail, status)
}

func page(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	io.WriteString(w, "<!doctype html><title>Maintenance</title><p>We will be <b>back</b> soon.")
}

func trickle(w http.ResponseWriter, r *http.Request, reply []byte, slow time.Duration) {
	const pieces = 8
	for i := range pieces {
		w.Write(reply[len(reply)*i/pieces : len(reply)*(i+1)/pieces])
		w.(http.Flusher).Flush()
		select {
		case <-time.After(slow / pieces):
		case <-r.Context().Done():
			return
		}
	}
}
