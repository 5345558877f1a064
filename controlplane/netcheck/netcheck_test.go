package netcheck

import (
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOverTCP(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "example.com" {
			t.Errorf("asked for %s", r.Host)
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of a connection that says nothing
	srv.StartTLS()
	defer srv.Close()
	at := netip.MustParseAddrPort(srv.Listener.Addr().String())
	took, mtu, err := Probe{}.Connect(t.Context(), at)
	if err != nil || took <= 0 || runtime.GOOS == "linux" && mtu < 1280 {
		t.Errorf("%v, MTU %d, %v", took, mtu, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	if h, err := (Probe{}).TLS(t.Context(), at, "example.com", roots); err != nil || h.Took <= 0 || !h.NotAfter.Equal(srv.Certificate().NotAfter) {
		t.Errorf("%+v, %v", h, err)
	}
	for name, pool := range map[string]*x509.CertPool{"example.com": nil, "example.net": roots} {
		if h, err := (Probe{}).TLS(t.Context(), at, name, pool); err == nil || h.NotAfter.IsZero() {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	if status, took, err := (Probe{}).Get(t.Context(), at, "example.com"); status != http.StatusBadGateway || took <= 0 || err != nil {
		t.Errorf("%d, %v, %v", status, took, err)
	}
	nobody := netip.MustParseAddrPort(porttest.Address(t))
	if _, _, err := (Probe{}).Connect(t.Context(), nobody); !errors.Is(err, ErrRefused) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestOverUDP(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	srv := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		switch q := r.Question[0]; {
		case q.Name == "gone.example.":
			m.Rcode = dns.RcodeNameError
		case q.Qtype == dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(192, 0, 2, 1)})
		}
		_ = w.WriteMsg(m)
	})}
	done := make(chan error, 1)
	go func() { done <- srv.ActivateAndServe() }()
	<-started
	at := netip.MustParseAddrPort(pc.LocalAddr().String())
	if addrs, took, err := (Probe{}).Resolve(t.Context(), at, "www.example"); err != nil || took <= 0 || len(addrs) != 1 || addrs[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("%v, %v, %v", addrs, took, err)
	}
	if _, _, err := (Probe{}).Resolve(t.Context(), at, "gone.example"); err == nil || err.Error() != "NXDOMAIN for gone.example" {
		t.Errorf("%v", err)
	}
	if _, err := (Probe{}).Answers(t.Context(), at, "gone.example"); err != nil {
		t.Errorf("an answer of any kind: %v", err)
	}
	if err := srv.Shutdown(); err != nil {
		t.Fatal(err)
	}
	<-done
	nobody := netip.MustParseAddrPort(porttest.Address(t))
	if err := (Probe{}).Refused(t.Context(), nobody); !errors.Is(err, ErrRefused) {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := (Probe{}).Answers(t.Context(), nobody, "gone.example"); !errors.Is(err, ErrRefused) {
		t.Errorf("nobody there: %v", err)
	}
}
