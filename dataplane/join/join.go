// Package join is who this machine is: keys that are made here and never leave, and the certificate that
// the cluster gives for them.
package join

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/dataplane/dial"
	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/backoff"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/jointoken"
	"github.com/warrenedge/warren/shared/wgkey"
)

// Files of the state directory.
const (
	keyFile  = "identity.key"
	certFile = "identity.crt" // written last: it is there when the machine has joined
	caFile   = "ca.pem"
	wgFile   = "wireguard.key"
	idFile   = "id.json"
)

// Options say who wants to join.
type Options struct {
	Dir       string
	Kind      identity.Kind
	Name      string
	Control   []string // host:port of the push port, tried in turn
	TokenFile string   // read only when the machine has not joined yet
	Token     string   // instead of TokenFile
	Where     Where    // of a node
	Log       *slog.Logger
}

// Where is where a node is reached, as others are told unless an operator says otherwise. What is zero is not
// said. Endpoints are "ip:port" or "name:port".
type Where struct {
	Addresses         []netip.Addr
	Name              string        // a hostname that has the addresses, instead of Addresses; empty: none
	Every             time.Duration // so often the name is looked up
	WireGuardEndpoint string
	StreamEndpoint    string // of the TLS port
	GossipEndpoint    string
}

func (w Where) addresses() []string {
	var out []string
	for _, a := range w.Addresses {
		out = append(out, a.String())
	}
	return out
}

// Identity is a machine that has joined. Safe for concurrent use.
type Identity struct {
	ID      string // "node_…" or "connector_…"
	Kind    identity.Kind
	Cluster string
	Overlay netip.Addr // own address inside the tunnels
	WG      wgkey.Private

	dir  string
	log  *slog.Logger
	cert atomic.Pointer[tls.Certificate]
	ca   atomic.Pointer[x509.CertPool]
}

// about is the content of id.json.
type about struct {
	ID      string        `json:"id"`
	Kind    identity.Kind `json:"kind"`
	Cluster string        `json:"cluster"`
	Overlay netip.Addr    `json:"overlay_address"`
	Site    string        `json:"site,omitempty"`
}

// ErrRefused is returned when the control plane does not want this machine. Trying again is no use.
var ErrRefused = errors.New("the control plane refused to let this machine join: the token is used, older than ten minutes, or for another name or kind; make a new one with warren node join or warren site join")

// Load reads the identity of a machine that has joined, or joins. While the control plane can't be
// reached it keeps trying.
func Load(ctx context.Context, o Options) (*Identity, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, certFile)); errors.Is(err, fs.ErrNotExist) {
		if err := enroll(ctx, o); err != nil {
			return nil, fmt.Errorf("join: %w", err)
		}
	}
	return open(o)
}

func open(o Options) (*Identity, error) {
	var a about
	b, err := os.ReadFile(filepath.Join(o.Dir, idFile))
	if err == nil {
		err = json.Unmarshal(b, &a)
	}
	if err == nil && a.Kind != o.Kind {
		err = fmt.Errorf("this is the state of a %s, not of a %s", a.Kind, o.Kind)
	}
	if err != nil {
		return nil, fmt.Errorf("identity in %s: %w", o.Dir, err)
	}
	i := &Identity{ID: a.ID, Kind: a.Kind, Cluster: a.Cluster, Overlay: a.Overlay, dir: o.Dir, log: o.Log}
	if i.WG, err = loadWireGuardKey(o.Dir); err != nil {
		return nil, err
	}
	if err := i.reload(); err != nil {
		return nil, err
	}
	return i, nil
}

// reload reads certificate, key and authorities from disk.
func (i *Identity) reload() error {
	cert, err := tls.LoadX509KeyPair(filepath.Join(i.dir, certFile), filepath.Join(i.dir, keyFile))
	if err != nil {
		return fmt.Errorf("identity certificate: %w", err)
	}
	pem, err := os.ReadFile(filepath.Join(i.dir, caFile))
	if err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("authorities: no certificate in %s", caFile)
	}
	i.cert.Store(&cert)
	i.ca.Store(pool)
	return nil
}

// Trust replaces the authorities that control replicas are verified with.
func (i *Identity) Trust(pemBytes []byte) error {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pemBytes) {
		return errors.New("authorities: no certificate in them")
	}
	old, err := os.ReadFile(filepath.Join(i.dir, caFile))
	if err == nil && bytes.Equal(old, pemBytes) {
		return nil
	}
	if err := atomicfile.Write(filepath.Join(i.dir, caFile), pemBytes); err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	i.ca.Store(pool)
	return nil
}

// Certificate is the newest certificate, with its key.
func (i *Identity) Certificate() *tls.Certificate { return i.cert.Load() }

// Authorities are those that the cluster's identities are verified with now.
func (i *Identity) Authorities() *x509.CertPool { return i.ca.Load() }

// Credentials are for connections to control replicas: mutual TLS, in which the other end must be a
// control replica of the same cluster, whatever address it has. A renewed certificate is used by the next
// connection.
func (i *Identity) Credentials() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13,
		ServerName: "warren-control",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return i.cert.Load(), nil
		},
		// Replicas have no hostname of their own: they are verified by their SPIFFE name below.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyControl(cs, i.ca.Load(), i.Cluster)
		},
	})
}

// verifyControl checks that the other end is a control replica; any cluster's if cluster is "".
func verifyControl(cs tls.ConnectionState, roots *x509.CertPool, cluster string) error {
	if _, err := identity.Verify(cs.PeerCertificates, roots, x509.ExtKeyUsageServerAuth, cluster, identity.Control); err != nil {
		return fmt.Errorf("the server is not a control replica of this cluster: %w", err)
	}
	return nil
}

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

// request makes a certificate request for the key in a file, making the key if there is none.
func request(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = newKey(); err == nil {
			err = atomicfile.Write(path, b)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("identity key: no PEM block in %s", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func makeWireGuardKey(dir string) (made bool, err error) {
	path := filepath.Join(dir, wgFile)
	if _, err := os.Stat(path); err == nil {
		return false, nil
	}
	k, err := wgkey.New()
	if err != nil {
		return false, err
	}
	return true, atomicfile.Write(path, k.Reveal())
}

func loadWireGuardKey(dir string) (wgkey.Private, error) {
	b, err := os.ReadFile(filepath.Join(dir, wgFile))
	if err != nil {
		return wgkey.Private{}, fmt.Errorf("WireGuard key: %w", err)
	}
	return wgkey.PrivateFromBytes(b)
}
