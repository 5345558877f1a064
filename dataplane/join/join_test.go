package join

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/jointoken"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ca is a throw-away identity authority.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T) *ca {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &ca{cert, key}
}

func (c *ca) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
}

func (c *ca) fingerprint() string {
	sum := sha256.Sum256(c.cert.Raw)
	return hex.EncodeToString(sum[:])
}

func (c *ca) sign(pub crypto.PublicKey, id identity.Identity, use x509.ExtKeyUsage, from, to time.Time) ([]byte, error) {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), URIs: []*url.URL{id.URI()}, NotBefore: from, NotAfter: to, ExtKeyUsage: []x509.ExtKeyUsage{use}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, c.cert, pub, c.key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), c.pem()...), nil
}

// control is a control replica that signs, refuses or fails as a test says.
type control struct {
	enrollv1.UnimplementedEnrollmentServiceServer
	ca    *ca
	addr  string
	life  time.Duration
	mu    sync.Mutex
	joins []*enrollv1.JoinRequest
	said  []*enrollv1.AnnounceRequest
	heard chan struct{} // closed at the first announcement that is taken
	err   error
}

const cluster = "cluster-1"

// serve starts a replica whose own certificate says who.
func serve(t *testing.T, c *ca, who identity.Identity, addr string) *control {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := c.sign(key.Public(), who, x509.ExtKeyUsageServerAuth, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	ctl := &control{ca: c, addr: l.Addr().String(), life: 24 * time.Hour, heard: make(chan struct{})}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13})))
	enrollv1.RegisterEnrollmentServiceServer(srv, ctl)
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return ctl
}

func replica() identity.Identity {
	return identity.Identity{Cluster: cluster, Kind: identity.Control, ID: "control"}
}

func (c *control) Join(_ context.Context, req *enrollv1.JoinRequest) (*enrollv1.JoinResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joins = append(c.joins, req)
	if c.err != nil {
		return nil, c.err
	}
	csr, err := x509.ParseCertificateRequest(req.GetCsrDer())
	if err != nil {
		return nil, err
	}
	id := req.GetKind() + "_1"
	chain, err := c.ca.sign(csr.PublicKey, identity.Identity{Cluster: cluster, Kind: identity.Kind(req.GetKind()), ID: id}, x509.ExtKeyUsageClientAuth, time.Now(), time.Now().Add(c.life))
	return &enrollv1.JoinResponse{
		Id: id, CertificatePem: chain, IdentityAuthoritiesPem: c.ca.pem(), OverlayAddress: "fd57:6172:7265:1::1", ClusterId: cluster,
	}, err
}

func (c *control) Renew(_ context.Context, req *enrollv1.RenewRequest) (*enrollv1.RenewResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	csr, err := x509.ParseCertificateRequest(req.GetCsrDer())
	if err != nil {
		return nil, err
	}
	chain, err := c.ca.sign(csr.PublicKey, identity.Identity{Cluster: cluster, Kind: identity.Node, ID: "node_1"}, x509.ExtKeyUsageClientAuth, time.Now(), time.Now().Add(c.life))
	return &enrollv1.RenewResponse{CertificatePem: chain, IdentityAuthoritiesPem: c.ca.pem()}, err
}

func (c *control) Announce(_ context.Context, req *enrollv1.AnnounceRequest) (*enrollv1.AnnounceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, req)
	if len(c.said) == 1 {
		return nil, status.Error(codes.Unavailable, "try again")
	}
	select {
	case <-c.heard:
	default:
		close(c.heard)
	}
	return &enrollv1.AnnounceResponse{}, nil
}

// setup is a token and the options to use it.
func options(t *testing.T, fingerprint string, addrs ...string) (Options, *bytes.Buffer) {
	t.Helper()
	var logged bytes.Buffer
	return Options{
		Dir: filepath.Join(t.TempDir(), "state"), Kind: identity.Node, Name: "n1", Control: addrs, Token: jointoken.New(fingerprint).Reveal(),
		Where: Where{
			Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.1")}, WireGuardEndpoint: "198.51.100.1:51820",
			StreamEndpoint: "198.51.100.1:443", GossipEndpoint: "198.51.100.1:7946",
		},
		Log: slog.New(slog.NewTextHandler(&logged, nil)),
	}, &logged
}

func TestJoinThenStartWithoutContact(t *testing.T) {
	c := newCA(t)
	ctl := serve(t, c, replica(), "127.0.0.1:0")
	o, logged := options(t, c.fingerprint(), ctl.addr)
	id, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	req := ctl.joins[0]
	pub := id.WG.Public()
	if id.ID != "node_1" || id.Cluster != cluster || id.Overlay.String() != "fd57:6172:7265:1::1" || !bytes.Equal(req.GetWireguardPublicKey(), pub[:]) ||
		req.GetName() != "n1" || req.GetKind() != "node" || req.GetWireguardEndpoint() != o.Where.WireGuardEndpoint ||
		req.GetStreamEndpoint() != o.Where.StreamEndpoint || req.GetGossipEndpoint() != o.Where.GossipEndpoint || len(req.GetAddresses()) != 1 {
		t.Errorf("%+v, asked %v", id, req)
	}
	if strings.Contains(logged.String(), strings.Split(o.Token, ".")[1]) {
		t.Error("the log shows the token")
	}
	dir, err := os.Stat(o.Dir)
	if err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("folder %v %v", dir.Mode(), err)
	}
	files, err := os.ReadDir(o.Dir)
	if err != nil || len(files) != 5 {
		t.Errorf("%v %v", files, err)
	}
	for _, f := range files {
		if fi, err := f.Info(); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s %v %v", f.Name(), fi.Mode(), err)
		}
	}

	o.Control, o.Token = []string{"127.0.0.1:1"}, "" // nobody there, nothing to show
	again, err := Load(t.Context(), o)
	if err != nil || again.ID != id.ID || again.WG.Public() != id.WG.Public() || len(ctl.joins) != 1 {
		t.Errorf("%+v %v", again, err)
	}
	o.Kind = identity.Connector
	if _, err := Load(t.Context(), o); err == nil || !strings.Contains(err.Error(), "state of a node") {
		t.Errorf("as a connector: %v", err)
	}
}

func TestRefusedTokenIsFinal(t *testing.T) {
	c := newCA(t)
	ctl := serve(t, c, replica(), "127.0.0.1:0")
	ctl.err = status.Error(codes.PermissionDenied, "join refused")
	o, _ := options(t, c.fingerprint(), ctl.addr)
	if _, err := Load(t.Context(), o); !errors.Is(err, ErrRefused) || len(ctl.joins) != 1 {
		t.Errorf("%v after %d calls", err, len(ctl.joins))
	}
	// Keys were made, but the machine has not joined: with a good token it does, with the same keys.
	ctl.err = nil
	if _, err := Load(t.Context(), o); err != nil || !bytes.Equal(ctl.joins[0].GetWireguardPublicKey(), ctl.joins[1].GetWireguardPublicKey()) {
		t.Errorf("%v", err)
	}
}

func TestWrongSettingIsFinalAndNamed(t *testing.T) {
	c := newCA(t)
	ctl := serve(t, c, replica(), "127.0.0.1:0")
	ctl.err = status.Error(codes.InvalidArgument, "stream_endpoint: no port")
	o, _ := options(t, c.fingerprint(), ctl.addr)
	if _, err := Load(t.Context(), o); err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "stream_endpoint: no port") || len(ctl.joins) != 1 {
		t.Errorf("%v after %d calls", err, len(ctl.joins))
	}
}

func TestUnavailableIsTriedAgainElsewhere(t *testing.T) {
	c := newCA(t)
	ctl := serve(t, c, replica(), "127.0.0.1:0")
	o, _ := options(t, c.fingerprint(), "127.0.0.1:1", ctl.addr)
	if _, err := Load(t.Context(), o); err != nil || len(ctl.joins) != 1 {
		t.Errorf("%v", err)
	}
}

// The token pins the cluster: nobody else is told it.
func TestTokenIsShownToNobodyElse(t *testing.T) {
	c, other := newCA(t), newCA(t)
	for name, ctl := range map[string]*control{
		"another authority": serve(t, other, replica(), "127.0.0.1:0"),
		"a node":            serve(t, c, identity.Identity{Cluster: cluster, Kind: identity.Node, ID: "node_9"}, "127.0.0.1:0"),
	} {
		o, _ := options(t, c.fingerprint(), ctl.addr)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := Load(ctx, o); err == nil || len(ctl.joins) != 0 {
			t.Errorf("%s: %v, %d calls", name, err, len(ctl.joins))
		}
		cancel()
	}
}

func TestBadTokens(t *testing.T) {
	for name, set := range map[string]func(o *Options){
		"none":       func(o *Options) { o.Token = "" },
		"no file":    func(o *Options) { o.Token, o.TokenFile = "", "/nowhere/token" },
		"garbage":    func(o *Options) { o.Token = "hello" },
		"no control": func(o *Options) { o.Control = nil },
	} {
		o, _ := options(t, newCA(t).fingerprint(), "127.0.0.1:1")
		set(&o)
		if _, err := Load(t.Context(), o); err == nil {
			t.Errorf("%s: joined", name)
		}
	}
}

// dial makes one call with the machine's credentials.
func connect(t *testing.T, id *Identity, addr string) error {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(id.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = enrollv1.NewEnrollmentServiceClient(conn).Renew(ctx, &enrollv1.RenewRequest{})
	return err
}

func TestOnlyAReplicaOfTheClusterIsTalkedTo(t *testing.T) {
	c, other := newCA(t), newCA(t)
	ctl := serve(t, c, replica(), "127.0.0.1:0")
	o, _ := options(t, c.fingerprint(), ctl.addr)
	id, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := connect(t, id, ctl.addr); status.Code(err) == codes.Unavailable {
		t.Errorf("own replica: %v", err)
	}
	for name, who := range map[string]struct {
		ca *ca
		id identity.Identity
	}{
		"another authority": {other, replica()},
		"another cluster":   {c, identity.Identity{Cluster: "cluster-2", Kind: identity.Control, ID: "control"}},
		"a node":            {c, identity.Identity{Cluster: cluster, Kind: identity.Node, ID: "node_9"}},
	} {
		if err := connect(t, id, serve(t, who.ca, who.id, "127.0.0.1:0").addr); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	// New authorities are trusted as soon as they are pushed, and after a restart.
	if err := id.Trust(append(c.pem(), other.pem()...)); err != nil {
		t.Fatal(err)
	}
	if err := connect(t, id, serve(t, other, replica(), "127.0.0.1:0").addr); status.Code(err) == codes.Unavailable {
		t.Errorf("a new authority: %v", err)
	}
	if err := id.Trust([]byte("x")); err == nil {
		t.Error("nothing at all is trusted")
	}
	again, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := connect(t, again, serve(t, other, replica(), "127.0.0.1:0").addr); status.Code(err) == codes.Unavailable {
		t.Errorf("a new authority after a restart: %v", err)
	}
}

// oneConn gives one connection.
type oneConn struct{ c *grpc.ClientConn }

func (o oneConn) Conn(context.Context) (*grpc.ClientConn, error) { return o.c, nil }

func TestRenewal(t *testing.T) {
	c := newCA(t)
	ctl := serve(t, c, replica(), "127.0.0.1:0")
	o, _ := options(t, c.fingerprint(), ctl.addr)
	id, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+ctl.addr, grpc.WithTransportCredentials(id.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reg := prometheus.NewRegistry()
	r := NewRenewer(id, oneConn{conn}, reg)
	ends := func() float64 {
		t.Helper()
		all, err := reg.Gather()
		if err != nil || len(all) != 1 || all[0].GetName() != "node_identity_expires_timestamp_seconds" {
			t.Fatal(all, err)
		}
		return all[0].GetMetric()[0].GetGauge().GetValue()
	}

	before := id.cert.Load().Leaf
	ctl.err = status.Error(codes.Unavailable, "later")
	if err := r.renew(t.Context()); err == nil || id.cert.Load().Leaf != before {
		t.Errorf("a failed renewal changed something: %v", err)
	}
	if is := float64(before.NotAfter.Unix()); ends() != is {
		t.Errorf("ends at %v by the metric, at %v", ends(), is)
	}
	ctl.err, ctl.life = nil, 48*time.Hour
	if err := r.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := id.cert.Load().Leaf
	if !after.NotAfter.After(before.NotAfter) || ends() != float64(after.NotAfter.Unix()) {
		t.Errorf("until %v, was %v", after.NotAfter, before.NotAfter)
	}
	again, err := Load(t.Context(), o)
	if err != nil || !again.cert.Load().Leaf.Equal(after) {
		t.Errorf("not on disk: %v", err)
	}
}

// Who was away for longer than its identity was good for is told what to do: it does not come back by itself.
func TestExpiredIdentitySaysWhatToDo(t *testing.T) {
	for kind, want := range map[identity.Kind]string{identity.Node: "warren node join", identity.Connector: "warren site join"} {
		var logged bytes.Buffer
		r := &Renewer{id: &Identity{Kind: kind, dir: "/var/lib/w", log: slog.New(slog.NewTextHandler(&logged, nil))}}
		r.complain(time.Now().Add(time.Minute), errors.New("no answer"))
		if s := logged.String(); !strings.Contains(s, "level=WARN") || strings.Contains(s, "expired") {
			t.Errorf("%s that may still be renewed: %s", kind, s)
		}
		logged.Reset()
		r.complain(time.Now().Add(-time.Minute), errors.New("no answer"))
		if s := logged.String(); !strings.Contains(s, "level=ERROR") || !strings.Contains(s, "expired") || !strings.Contains(s, want) || !strings.Contains(s, "dir=/var/lib/w") {
			t.Errorf("%s that has expired: %s", kind, s)
		}
	}
}

func TestRenewAt(t *testing.T) {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := RenewAt(from, from.Add(30*24*time.Hour)); got != from.Add(10*24*time.Hour) {
		t.Errorf("%v", got)
	}
}

func TestAnnouncedOnceAStart(t *testing.T) {
	c := newCA(t)
	ctl := serve(t, c, replica(), "127.0.0.1:0")
	o, _ := options(t, c.fingerprint(), ctl.addr)
	id, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+ctl.addr, grpc.WithTransportCredentials(id.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- NewAnnouncer(o.Where, nil, oneConn{conn}, slog.New(slog.DiscardHandler)).Run(ctx) }()
	<-ctl.heard // at the second try
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	last := ctl.said[len(ctl.said)-1]
	if len(ctl.said) != 2 || len(last.GetAddresses()) != 1 || last.GetWireguardEndpoint() != o.Where.WireGuardEndpoint ||
		last.GetStreamEndpoint() != o.Where.StreamEndpoint || last.GetGossipEndpoint() != o.Where.GossipEndpoint {
		t.Errorf("said %v", ctl.said)
	}
}

// A node behind a name says each address that the name gets; while the name can't be looked up, none: what was said
// before stays.
func TestAnnouncedAddressesFollowTheName(t *testing.T) {
	c := newCA(t)
	ctl := serve(t, c, replica(), "127.0.0.1:0")
	ctl.said = []*enrollv1.AnnounceRequest{{}} // the first is refused, which is another test's business
	o, _ := options(t, c.fingerprint(), ctl.addr)
	id, err := Load(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+ctl.addr, grpc.WithTransportCredentials(id.Credentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var has atomic.Pointer[[]netip.Addr]
	a := NewAnnouncer(Where{Name: "edge.example.net", StreamEndpoint: "edge.example.net:443"}, func(_ context.Context, host string) ([]netip.Addr, error) {
		if at := has.Load(); at != nil && host == "edge.example.net" {
			return *at, nil
		}
		return nil, errors.New("no answer")
	}, oneConn{conn}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	<-ctl.heard
	says := func(want ...string) {
		t.Helper()
		for i := 0; ; i++ {
			ctl.mu.Lock()
			last := ctl.said[len(ctl.said)-1]
			ctl.mu.Unlock()
			if slices.Equal(last.GetAddresses(), want) && last.GetStreamEndpoint() == "edge.example.net:443" {
				return
			}
			if i == 20_000 {
				t.Fatalf("said %v, want %v", last, want)
			}
			a.names.AskAll() // it would a minute later
			time.Sleep(time.Millisecond)
		}
	}
	says()
	for _, at := range [][]string{{"192.0.2.1", "2001:db8::1"}, {"192.0.2.2"}, {"192.0.2.1", "192.0.2.2"}} {
		var addrs []netip.Addr
		for _, text := range at {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		slices.Reverse(addrs) // resolvers turn them around
		has.Store(&addrs)
		says(at...)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
