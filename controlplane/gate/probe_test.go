package gate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
)

// places maps the addresses of nodes to sockets of the test: "udp 192.0.2.1:53".
type places map[string]string

func (p places) dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, ok := p[network+" "+address]
	if !ok {
		return nil, syscall.ECONNREFUSED
	}
	if to == "" {
		return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

// nameserver serves a handler over UDP and TCP at an address of a node.
func (p places) nameserver(t testing.TB, address string, h dns.HandlerFunc) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: l, Handler: h}} {
		done := make(chan struct{})
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(done)
			_ = s.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-done
		})
	}
	p["udp "+net.JoinHostPort(address, "53")] = pc.LocalAddr().String()
	p["tcp "+net.JoinHostPort(address, "53")] = l.Addr().String()
}

// zone answers TXT questions at a name with values, and says NXDOMAIN to all others.
func zone(name string, values func(network string) []string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		have := values(w.LocalAddr().Network())
		if q.Question[0].Name != name || len(have) == 0 {
			m.Rcode = dns.RcodeNameError
		} else {
			for _, v := range have {
				m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{v}})
			}
			if w.LocalAddr().Network() == "udp" {
				m.Truncate(dns.DefaultMsgSize)
			}
		}
		_ = w.WriteMsg(m)
	}
}

func always(values ...string) func(string) []string { return func(string) []string { return values } }

func TestAskDNS(t *testing.T) {
	const at = "_acme-challenge.example.org."
	var many []string
	for i := range 200 {
		many = append(many, strings.Repeat(string(rune('a'+i%26)), 30+i/26))
	}
	for _, tt := range []struct {
		name   string
		handle dns.HandlerFunc
		wants  []string
		err    string
	}{
		{"both values", zone(at, always("one", "two")), []string{"one", "two"}, ""},
		{"more than is wanted", zone(at, always("old", "two", "one")), []string{"one", "two"}, ""},
		{"too many for a packet", zone(at, always(many...)), many, ""},
		{"one of two", zone(at, always("one")), []string{"one", "two"}, "DNS over UDP: _acme-challenge.example.org. lacks 1 of 2 values"},
		{"a value in another case", zone(at, always("ONE")), []string{"one"}, "lacks 1 of 1"},
		{"not there", zone(at, always()), []string{"one"}, "DNS over UDP: NXDOMAIN for _acme-challenge.example.org."},
		{"over UDP alone", zone(at, func(network string) []string {
			if network == "udp" {
				return []string{"one"}
			}
			return nil
		}), []string{"one"}, "DNS over TCP: NXDOMAIN"},
		{"below it", zone("x."+at, always("one")), []string{"one"}, "NXDOMAIN"},
		{"somebody's resolver", func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: at, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"one"}})
			_ = w.WriteMsg(m)
		}, []string{"one"}, "not answered with authority"},
		{"refused", func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeRefused)) }, []string{"one"}, "REFUSED"},
		{"the value at another name", func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative = true
			m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: "other.example.", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{"one"}})
			_ = w.WriteMsg(m)
		}, []string{"one"}, "lacks"},
	} {
		p := places{}
		p.nameserver(t, "192.0.2.1", tt.handle)
		err := prober{p.dial}.ask(t.Context(), "192.0.2.1", want{kind: model.DNS01, name: "example.org", values: tt.wants})
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
		if err != nil && (strings.Contains(err.Error(), "one") && strings.Contains(err.Error(), "two")) {
			t.Errorf("%s: the error tells the values: %v", tt.name, err)
		}
	}
}

// Who does not answer is told from who answers wrongly, and from whom this host can't reach.
func TestAskNobody(t *testing.T) {
	p := places{"udp 192.0.2.9:53": ""}
	sink, err := net.ListenPacket("udp", "127.0.0.1:0") // takes packets and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	p["udp 192.0.2.8:53"] = sink.LocalAddr().String()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	for address, is := range map[string]error{"192.0.2.7": errSilent, "192.0.2.8": errSilent, "192.0.2.9": errNoWay} {
		if err := (prober{p.dial}).ask(short, address, want{kind: model.DNS01, name: "example.org", values: []string{"one"}}); !errors.Is(err, is) {
			t.Errorf("%s: %v, want %v", address, err, is)
		}
	}
}

func (p places) webserver(t testing.TB, address string, h http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	p["tcp "+address+":80"] = l.Addr().String()
}

func TestAskHTTP(t *testing.T) {
	for _, tt := range []struct {
		name   string
		handle http.HandlerFunc
		err    string
	}{
		{"the file", func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "www.example.org" && r.URL.Path == "/.well-known/acme-challenge/tok" {
				_, _ = io.WriteString(w, "tok.thumb\r\n")
			}
		}, ""},
		{"another", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "other.thumb") }, "another key authorization for www.example.org"},
		{"sent on", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusPermanentRedirect)
		}, "HTTP status 308"},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<12)); err != nil {
					return
				}
			}
		}, "another key authorization"},
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "no HTTP answer"},
	} {
		p := places{}
		p.webserver(t, "192.0.2.1", tt.handle)
		err := prober{p.dial}.ask(t.Context(), "192.0.2.1", want{kind: model.HTTP01, name: "www.example.org", token: "tok", values: []string{"tok.thumb"}})
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
	}
	if err := (prober{places{}.dial}).ask(t.Context(), "192.0.2.1", want{kind: model.HTTP01, values: []string{""}}); !errors.Is(err, errSilent) {
		t.Error(err)
	}
}

// certificate has a digest in it, or none.
func certificate(t testing.TB, digest []byte, critical bool, names ...string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	if digest != nil {
		value, err := asn1.Marshal(digest)
		if err != nil {
			t.Fatal(err)
		}
		tmpl.ExtraExtensions = []pkix.Extension{{Id: acmeIdentifier, Critical: critical, Value: value}}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestAskTLS(t *testing.T) {
	sum, other := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	for _, tt := range []struct {
		name      string
		cert      *tls.Certificate
		protocols []string
		err       string
	}{
		{"the challenge", certificate(t, sum[:], true, "www.example.org"), []string{acmeTLS}, ""},
		{"another digest", certificate(t, other[:], true, "www.example.org"), []string{acmeTLS}, "another certificate"},
		{"not critical", certificate(t, sum[:], false, "www.example.org"), []string{acmeTLS}, "another certificate"},
		{"no digest", certificate(t, nil, false, "www.example.org"), []string{acmeTLS}, "another certificate"},
		{"more names", certificate(t, sum[:], true, "www.example.org", "example.org"), []string{acmeTLS}, "another certificate"},
		{"a web server", certificate(t, nil, false, "www.example.org"), []string{"h2"}, "no challenge is answered"},
		{"without a protocol", certificate(t, sum[:], true, "www.example.org"), nil, "not with the protocol"},
		{"no certificate", nil, []string{acmeTLS}, "no challenge is answered"},
	} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{NextProtos: tt.protocols, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return tt.cert, nil }})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if c, err := l.Accept(); err == nil {
				_ = c.(*tls.Conn).Handshake()
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		}()
		p := places{"tcp 192.0.2.1:443": l.Addr().String()}
		err = prober{p.dial}.ask(t.Context(), "192.0.2.1", want{kind: model.TLSALPN01, name: "www.example.org", values: []string{base64.RawURLEncoding.EncodeToString(sum[:])}})
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
		_ = l.Close()
		<-done
	}
}

// All of it at once: three nodes, one of which lags behind for a moment, over sockets.
func TestReadyOverSockets(t *testing.T) {
	cur, all := world(t, `
		pool edge
		node n1 pool=edge addresses=192.0.2.1 enrolled
		node n2 pool=edge addresses=192.0.2.2 enrolled
		node n3 pool=edge addresses=192.0.2.3,2001:db8::3 enrolled
		domain example.org organization=acme pool=edge
		challenge c1 organization=acme order=o type=dns-01 for=example.org value=one
		challenge c2 organization=acme order=o type=dns-01 for=example.org value=two`)
	const at = "_acme-challenge.example.org."
	var told atomic.Bool // n3 knows both
	p := places{"udp [2001:db8::3]:53": "", "tcp [2001:db8::3]:53": ""}
	p.nameserver(t, "192.0.2.1", zone(at, always("one", "two")))
	p.nameserver(t, "192.0.2.2", zone(at, always("two", "one")))
	p.nameserver(t, "192.0.2.3", zone(at, func(string) []string {
		if told.Load() {
			return []string{"one", "two"}
		}
		return []string{"one"}
	}))
	c := &cluster{standing: map[model.NodeID]presence.Standing{node("n1"): presence.Ready, node("n2"): presence.Ready, node("n3"): presence.Ready}}
	g := New(Options{World: cur, Fleet: c, Policy: Wait, Dial: p.dial, Log: slog.New(slog.DiscardHandler)})
	missing, _, err := g.Look(t.Context(), 1, all)
	if err != nil || len(missing) != 1 || missing[0].Node != "n3" || !strings.Contains(missing[0].Reason, "lacks 1 of 2 values") {
		t.Errorf("%v, %v", missing, err)
	}
	timer := time.AfterFunc(100*time.Millisecond, func() { told.Store(true) })
	defer timer.Stop()
	if err := g.Ready(t.Context(), 1, all); err != nil || !told.Load() {
		t.Errorf("%v, n3 knows both: %v", err, told.Load())
	}
}
