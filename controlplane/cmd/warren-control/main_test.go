package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
)

func TestThePushPortDeniesByDefault(t *testing.T) {
	p := &pushPort{strangers: rate.NewLimiter(0, 1)}
	with := func(s tls.ConnectionState) context.Context {
		return peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: s}})
	}
	stranger := with(tls.ConnectionState{})
	// A certificate that was shown and not verified counts for nothing.
	shown := with(tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}})
	trusted := with(tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}})
	for _, tc := range []struct {
		name, method string
		ctx          context.Context
		want         codes.Code
	}{
		{"a stranger joins", "/warren.enroll.v1.EnrollmentService/Join", stranger, codes.OK},
		{"too many strangers", "/warren.enroll.v1.EnrollmentService/Join", stranger, codes.Unavailable},
		{"a stranger renews", "/warren.enroll.v1.EnrollmentService/Renew", stranger, codes.Unauthenticated},
		{"a stranger announces", "/warren.enroll.v1.EnrollmentService/Announce", stranger, codes.Unauthenticated},
		{"a node announces", "/warren.enroll.v1.EnrollmentService/Announce", trusted, codes.OK},
		{"a stranger reports", "/warren.node.v1.ReportService/Report", stranger, codes.Unauthenticated},
		{"a stranger reads", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", stranger, codes.Unauthenticated},
		{"shown only", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", shown, codes.Unauthenticated},
		{"without TLS", "/warren.node.v1.ReportService/Report", t.Context(), codes.Unauthenticated},
		{"a node reads", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources", trusted, codes.OK},
		{"a node reports", "/warren.node.v1.ReportService/Report", trusted, codes.OK},
		{"the other stream of ADS", "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", trusted, codes.PermissionDenied},
		{"nonsense", "/x/y", trusted, codes.PermissionDenied},
	} {
		if got := status.Code(p.allow(tc.ctx, tc.method)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

// selfSigned is a certificate that names a node and that nobody has signed.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"control"},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "cluster", Path: "/node/node_1"}},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestAWrongCertificateIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	creds := newPushCredentials(&tls.Config{
		Certificates: []tls.Certificate{selfSigned(t)}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13,
	}, slog.New(slog.NewTextHandler(&log, nil))).Clone()
	handshake := func(client func(net.Conn)) error {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer theirs.Close()
			client(theirs)
		}()
		_, _, err := creds.ServerHandshake(ours)
		_ = ours.Close()
		<-done
		return err
	}
	if handshake(func(net.Conn) {}) == nil || log.Len() > 0 {
		t.Errorf("a balancer's question is logged: %s", &log)
	}
	for range 3 {
		err := handshake(func(c net.Conn) {
			conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{selfSigned(t)}, NextProtos: []string{"h2"}})
			if conn.Handshake() == nil {
				_, _ = conn.Read(make([]byte, 1))
			}
		})
		if err == nil {
			t.Fatal("a stranger's certificate was accepted")
		}
	}
	if n := strings.Count(log.String(), "certificate refused"); n != 1 || !strings.Contains(log.String(), "peer=pipe") {
		t.Errorf("logged %d times: %s", n, &log)
	}
}

func TestThePushPortEndsWhenToldTo(t *testing.T) {
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	cert, key, err := authority.Create(authority.Identity, "cluster", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ca, err := authority.Parse(authority.Identity, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPushPort("127.0.0.1:0", &admin.Cluster{ID: "cluster", Identity: ca}, nil, push.New(push.Options{Cluster: "cluster", Log: log, Reg: reg}),
		presence.New("r1", presence.Memory{}, log, reg), model.NewCurrent(), nodev1.UnimplementedAccessServiceServer{}, nodev1.UnimplementedTrafficServiceServer{}, nodev1.UnimplementedPublicationServiceServer{}, log, reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestTheFirstKeyIsNeverLost(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	var out bytes.Buffer
	file := filepath.Join(t.TempDir(), "api.key")
	if err := handOver("wrn_1", file, &out, log); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil || string(b) != "wrn_1\n" || out.Len() > 0 {
		t.Errorf("%q, %v; printed %q", b, err, out.String())
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if err := handOver("", file, &out, log); err != nil || out.Len() > 0 {
		t.Errorf("a later start: %v, printed %q", err, out.String())
	}
	for _, file := range []string{"", "/nowhere/api.key"} {
		out.Reset()
		if err := handOver("wrn_2", file, &out, log); err != nil || !strings.Contains(out.String(), "\nwrn_2\n") {
			t.Errorf("%q: %v, printed %q", file, err, out.String())
		}
	}
}

func TestCommands(t *testing.T) {
	run := func(args ...string) (string, error) {
		c := command()
		var out bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&out)
		c.SetArgs(args)
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	kek, err := run("new-kek")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.NewSealer([]byte(kek)); err != nil {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "kek.json")
	if out, err := run("new-kek", "--file", file); err != nil || out != "" {
		t.Errorf("%q, %v", out, err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.NewSealer(written); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := run("new-kek", "--file", file); err == nil {
		t.Error("a key was written over another")
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, written) {
		t.Error("the key has changed")
	}
	for _, args := range [][]string{{"--nonsense"}, {"--config", "/nowhere"}, {"migrate", "--config", "/nowhere"}} {
		_, err := run(args...)
		if _, ok := errors.AsType[usage](err); !ok {
			t.Errorf("%v: %v, want a mistake in the call", args, err)
		}
	}
}
