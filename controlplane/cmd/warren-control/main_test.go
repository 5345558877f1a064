package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/warrenedge/warren/controlplane/authority"
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
	for _, args := range [][]string{{"--nonsense"}, {"--config", "/nowhere"}, {"migrate", "--config", "/nowhere"}} {
		_, err := run(args...)
		if _, ok := errors.AsType[usage](err); !ok {
			t.Errorf("%v: %v, want a mistake in the call", args, err)
		}
	}
}
