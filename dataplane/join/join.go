// Package join is who this machine is: keys that are made here and never leave, and the certificate that
// the cluster gives for them.
package join

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/identity"
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
