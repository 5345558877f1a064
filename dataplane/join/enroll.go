package join

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/backoff"
	"github.com/warrenedge/warren/shared/jointoken"
)

// enroll makes the keys and trades the token for a certificate.
func enroll(ctx context.Context, o Options) error {
	text := o.Token
	if text == "" {
		if o.TokenFile == "" {
			return errors.New("this machine has not joined yet, and there is no token_file")
		}
		b, err := os.ReadFile(o.TokenFile)
		if err != nil {
			return fmt.Errorf("token file: %w", err)
		}
		text = string(b)
	}
	token, err := jointoken.Parse(text)
	if err != nil {
		return err
	}
	if _, err := makeWireGuardKey(o.Dir); err != nil {
		return err
	}
	wg, err := loadWireGuardKey(o.Dir)
	if err != nil {
		return err
	}
	csr, err := request(o.Dir, keyFile)
	if err != nil {
		return err
	}
	pub := wg.Public()
	req := &enrollv1.JoinRequest{
		Token: token.Reveal(), Kind: string(o.Kind), Name: o.Name, CsrDer: csr, WireguardPublicKey: pub[:],
		Addresses: o.Where.addresses(), WireguardEndpoint: o.Where.WireGuardEndpoint, StreamEndpoint: o.Where.StreamEndpoint, GossipEndpoint: o.Where.GossipEndpoint,
	}
	resp, err := ask(ctx, o, token, req)
	if err != nil {
		return err
	}
	overlay, err := netip.ParseAddr(resp.GetOverlayAddress())
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	id, err := json.MarshalIndent(about{resp.GetId(), o.Kind, resp.GetClusterId(), overlay, resp.GetSiteId()}, "", "  ")
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		b    []byte
	}{{idFile, id}, {caFile, resp.GetIdentityAuthoritiesPem()}, {certFile, resp.GetCertificatePem()}} {
		if err := atomicfile.Write(filepath.Join(o.Dir, f.name), f.b); err != nil {
			return err
		}
	}
	o.Log.Info("joined", string(o.Kind), resp.GetId())
	return nil
}

// ask tries the control addresses in turn until one gives an answer that is final.
func ask(ctx context.Context, o Options, token jointoken.Token, req *enrollv1.JoinRequest) (*enrollv1.JoinResponse, error) {
	if len(o.Control) == 0 {
		return nil, errors.New("no control address")
	}
	creds := credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: "warren-control",
		// The token names the authority: nothing else is trusted yet.
		InsecureSkipVerify: true,
		VerifyConnection:   func(cs tls.ConnectionState) error { return verifyPinned(cs, token.Fingerprint()) },
	})
	var wait backoff.Backoff
	for n := 0; ; n++ {
		addr := o.Control[n%len(o.Control)]
		resp, err := askOne(ctx, addr, creds, req)
		switch status.Code(err) {
		case codes.OK:
			return resp, nil
		case codes.PermissionDenied:
			return nil, ErrRefused
		case codes.InvalidArgument: // the token was right and is as good as before
			return nil, fmt.Errorf("the control plane does not accept what this machine says of itself: %s", status.Convert(err).Message())
		}
		o.Log.Warn("joining, trying again", "peer", addr, "err", err)
		if !wait.Wait(ctx) {
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

func askOne(ctx context.Context, addr string, creds credentials.TransportCredentials, req *enrollv1.JoinRequest) (*enrollv1.JoinResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+addr, dial.GRPC(addr), grpc.WithTransportCredentials(creds))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return enrollv1.NewEnrollmentServiceClient(conn).Join(ctx, req)
}

// verifyPinned checks that the server's chain ends in the authority that the token names.
func verifyPinned(cs tls.ConnectionState, fingerprint string) error {
	for _, c := range cs.PeerCertificates {
		sum := sha256.Sum256(c.Raw)
		if hex.EncodeToString(sum[:]) != fingerprint {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(c)
		return verifyControl(cs, roots, "")
	}
	return errors.New("the server is not of the cluster that the join token names")
}
