// Package acmetest is the CA that tests issue from: Pebble as a process of its own, a Proxy before it that
// does to clients what CAs and networks do, and the DNS that they look at.
package acmetest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Config chooses how Pebble behaves. The zero value rejects no good nonce, validates at once and each
// authorization anew, and has one profile, "default".
type Config struct {
	DNS         string // the resolver that validation asks, over TCP; empty: the system's
	NonceReject int    // percent of good nonces that are rejected
	Slow        bool   // validation sleeps for 0 to 4 s
	AuthzReuse  int    // percent of authorizations that are reused
	AlwaysValid bool   // validation looks at nothing
	HTTPPort    int    // where http-01 is fetched from
	TLSPort     int    // where tls-alpn-01 is dialled
	Strict      bool

	Profiles       map[string]Profile
	EAB            map[string]string // key ID → HMAC in base64url; not empty: EAB is required
	Blocked        []string          // names that are rejectedIdentifier
	CAAIdentities  []string
	KeyAlgorithm   string // of the CA: "ecdsa" if empty, or "rsa"
	AlternateRoots int
	RetryAfter     struct{ Authz, Order int } // seconds, while processing

	Listen     string // host:port of the CA; empty: a free port of 127.0.0.1
	Management string // the same for its management interface
}

// Profile is a kind of certificate. Validity of zero is five years.
type Profile struct {
	Description string
	Validity    time.Duration
}

// CA is a Pebble that runs.
type CA struct {
	Directory  string         // URL
	Management string         // URL, without a path
	Roots      *x509.CertPool // who signed its TLS certificate
	RootsPEM   []byte
	PID        int

	client *http.Client
	cmd    *exec.Cmd
	stdin  io.Closer
	ended  chan struct{}
}

// Start runs Pebble for a test.
func Start(t testing.TB, c Config) *CA {
	t.Helper()
	ca, err := Run(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Stop)
	return ca
}

// Run starts Pebble: the program that runs, once more, with an environment that init finds (child.go). It
// ends with Stop or with its parent.
func Run(c Config) (*CA, error) {
	l, err := c.launch(true)
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), l.env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the parent
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ca := &CA{Roots: l.tls.pool, RootsPEM: l.tls.root, PID: cmd.Process.Pid, cmd: cmd, stdin: in, ended: make(chan struct{})}
	var at listening
	readErr := json.NewDecoder(out).Decode(&at)
	go func() { cmd.Wait(); close(ca.ended) }()
	if readErr != nil {
		ca.Stop()
		return nil, fmt.Errorf("pebble did not start: %w", readErr)
	}
	ca.Directory, ca.Management = "https://"+at.CA+"/dir", "https://"+at.Management
	ca.client = &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: ca.Roots, ServerName: "localhost"}, DisableKeepAlives: true,
		},
	}
	return ca, nil
}

// Command says how to run Pebble elsewhere, on a host of the lab for instance: program and additions to its
// environment, and who signed its TLS certificate. Listen and Management have to be set.
func (c Config) Command() (program string, env []string, rootsPEM []byte, err error) {
	l, err := c.launch(false)
	if err != nil {
		return "", nil, nil, err
	}
	program, err = os.Executable()
	return program, l.env, l.tls.root, err
}

// Stop ends Pebble; all that it issued is forgotten.
func (ca *CA) Stop() {
	ca.stdin.Close()
	select {
	case <-ca.ended:
	case <-time.After(5 * time.Second):
		ca.cmd.Process.Kill()
		<-ca.ended
	}
}

// CPU is what Pebble has used, known once it was stopped.
func (ca *CA) CPU() time.Duration {
	<-ca.ended
	return ca.cmd.ProcessState.UserTime() + ca.cmd.ProcessState.SystemTime()
}

// IssuerRoots returns the root of the certificates that Pebble issues: the first, or an alternate one.
func (ca *CA) IssuerRoots(n int) (*x509.CertPool, error) {
	b, err := ca.manage(http.MethodGet, "/roots/"+strconv.Itoa(n), nil)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("no root in %q", b)
	}
	return pool, nil
}

// SetRenewalInfo makes Pebble answer any text where renewal information of a certificate is asked for.
func (ca *CA) SetRenewalInfo(leafDER []byte, answer string) error {
	body, err := json.Marshal(map[string]string{
		"Certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leafDER})), "ARIResponse": answer,
	})
	if err != nil {
		return err
	}
	_, err = ca.manage(http.MethodPost, "/set-renewal-info/", body)
	return err
}

// Revoked says whether a certificate is revoked, and why.
func (ca *CA) Revoked(serial *big.Int) (revoked bool, reason int, err error) {
	b, err := ca.manage(http.MethodGet, "/cert-status-by-serial/"+serial.Text(16), nil)
	if err != nil {
		return false, 0, err
	}
	var s struct {
		Status string
		Reason int
	}
	err = json.Unmarshal(b, &s)
	return s.Status == "Revoked", s.Reason, err
}

func (ca *CA) manage(method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequest(method, ca.Management+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := ca.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	return b, err
}
