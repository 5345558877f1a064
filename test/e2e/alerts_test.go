//go:build e2e

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/warrenedge/warren/controlplane/mail/mailtest"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// tower is a host to which alerts are told: a mail server, and a receiver of webhooks that believes signatures alone.
type tower struct {
	t    *testing.T
	mail *mailtest.Server

	mu     sync.Mutex
	keys   map[string]string // by path
	events map[string]int    // that came, by path, type and rule
	bad    []error
	mails  []mailtest.Message
}

const towerAddr = "198.18.3.9"

func newTower(t *testing.T, l *lab.Lab) *tower {
	t.Helper()
	w := &tower{t: t, keys: map[string]string{}, events: map[string]int{}}
	h := l.Host("tower", towerAddr)
	w.mail = mailtest.StartOn(t, h.Listen(25))
	cert, authority := towerCertificate(t)
	file := filepath.Join(t.TempDir(), "tower.pem")
	if err := os.WriteFile(file, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", file) // of the control plane, which believes who the system does
	ln := tls.NewListener(h.Listen(443), &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(w.take)}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return w
}

// towerCertificate is one of the tower's address, which is its own authority.
func towerCertificate(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.ParseIP(towerAddr)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// take is the receiver: what is not signed with its key as standardwebhooks.com has it is refused.
func (w *tower) take(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	var event struct {
		Type string
		Data struct{ Rule, State string }
	}
	if err == nil {
		var hook *standardwebhooks.Webhook
		if hook, err = standardwebhooks.NewWebhook(w.keys[r.URL.Path]); err == nil {
			err = hook.Verify(body, r.Header)
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	if err != nil {
		w.bad = append(w.bad, fmt.Errorf("%s: %w: %s", r.URL.Path, err, body))
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	w.events[r.URL.Path+" "+event.Type+" "+event.Data.Rule]++
	rw.WriteHeader(http.StatusNoContent)
}

// told says what is missing of notices of a type about some rules: calls of webhooks, and mail with these words in its subject.
func (w *tower) told(typ, mark string, subjects map[string]string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.mail.Count() > 0 {
		w.mails = append(w.mails, w.mail.Next(w.t))
	}
	missing := append([]error(nil), w.bad...)
	for rule, subject := range subjects {
		for path, want := range map[string]int{"/org": 1, "/cluster": 1} { // the cluster's hears of all
			if path == "/org" && rule == "nodes" {
				want = 0
			}
			if n := w.events[path+" "+typ+" "+rule]; n != want {
				missing = append(missing, fmt.Errorf("%d calls of %s with %s of %s, want %d", n, path, typ, rule, want))
			}
		}
		n := 0
		for _, m := range w.mails {
			if m.Subject == mark+" "+subject && m.To == rule+"@example.org" && strings.Contains(m.Text, "Rule: "+rule) {
				n++
			}
		}
		if n != 1 {
			missing = append(missing, fmt.Errorf("%d mails with %q", n, mark+" "+subject))
		}
	}
	return errors.Join(missing...)
}

// left is a certificate of a name with a key, of a life of 100 days of which so many are left, as files.
func (c *suite) left(file, name string, days int) (chain, key string) {
	c.t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	end := time.Now().Add(time.Duration(days) * 24 * time.Hour)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(days)), NotBefore: end.Add(-100 * 24 * time.Hour), NotAfter: end, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, own.Public(), own)
	c.must(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	c.must(err)
	var crt, sec bytes.Buffer
	c.must(pem.Encode(&crt, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	c.must(pem.Encode(&sec, &pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return c.write(file+".crt", crt.String()), c.write(file+".key", sec.String())
}

// Each kind of alert rule tells, once, by mail and by a signed call of a webhook, that what it watches is so, and that it is over; what
// came of each message is in the logs of deliveries.
func TestAlertsReachMailAndWebhooks(t *testing.T) {
	for name, value := range map[string]string{
		"MAIL_SERVER": towerAddr + ":25", "MAIL_SECURITY": "none", "MAIL_FROM": "Warren <warren@example.org>", "OUTBOUND_NETWORKS": "198.18.0.0/15",
	} {
		t.Setenv("WARREN_CONTROL_"+name, value)
	}
	l := lab.New(t)
	w := newTower(t, l)
	started, err := cluster.Start(t.Context(), l, cluster.Config{Bin: "../../bin", Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	c := &suite{started, t}
	for path, args := range map[string][]string{"/org": {"create", "webhook", "ops"}, "/cluster": {"create", "cluster-webhook", "ops"}} {
		key := strings.TrimSpace(c.warren(append(args, "--url", "https://"+towerAddr+path)...))
		w.mu.Lock()
		w.keys[path] = key
		w.mu.Unlock()
	}
	subjects := map[string]string{
		"sites": "site s2 is down", "targets": "target sick is unhealthy", "certificates": "the certificate of service due needs care",
		"errors": "requests to service broken fail", "nodes": "node n3 is out of sync",
	}
	rule := func(name, kind string, more ...string) {
		t.Helper()
		noun := "alert-rule"
		if strings.HasPrefix(kind, "node_") {
			noun = "cluster-alert-rule"
		}
		c.warren(append([]string{"create", noun, name, "--kind", kind, "--for", "0s", "--mail", name + "@example.org"}, more...)...)
	}

	// What is to break is there, and well.
	chain, key := c.left("fresh", "due."+domain, 90)
	c.warren("cert", "upload", "--cert", chain, "--key", key)
	c.apply(cluster.Service("due", "http", "due."+domain, "s1", "10.77.1.10", 8080) + "---\n" +
		cluster.Service("broken", "http", "broken."+domain, "s1", "10.77.1.31", 8080) + "---\n" +
		strings.Replace(cluster.Service("sick", "http", "sick."+domain, "s1", "10.77.1.30", 8080), "port: 8080}", "port: 8080, health_check: {kind: tcp, interval: 1s}}", 1))
	c.warren("wait")
	rule("sites", "site_down", "--object", "s2")
	rule("targets", "target_unhealthy", "--object", "sick")
	rule("certificates", "certificate_due", "--object", "due")
	rule("errors", "error_rate", "--object", "broken", "--percent", "50", "--window", "5m")
	rule("nodes", "node_out_of_sync", "--object", "n3")

	// All of it breaks.
	c.Sites[1].Proc.Kill()
	c.must(c.Lab.Partition([]*lab.Host{c.Nodes[2].Host}, []*lab.Host{c.Lab.Find("lb")}))
	chain, key = c.left("due", "due."+domain, 2)
	old := c.certificateOf("due." + domain)
	c.warren("cert", "upload", "--cert", chain, "--key", key)
	c.warren("delete", "certificate", old, "--yes")
	ask := func(what string, n int, ok bool) {
		t.Helper()
		for range n {
			if _, err := c.Curl("https://broken."+domain+"/", cluster.At(c.Nodes[0], "broken."+domain)...); (err == nil) != ok {
				t.Fatalf("%s: %v", what, err)
			}
		}
	}
	ask("nobody serves it", 12, false)
	lab.Eventually(t, 2*patience, "everybody is told that it fires", func() error { return w.told("alert.firing", "[alert]", subjects) })
	for _, of := range []struct {
		want int
		args []string
	}{{4, []string{"alert", "list"}}, {1, []string{"alert", "list", "--cluster"}}} {
		var firing []struct{ State string }
		c.json(&firing, of.args...)
		if len(firing) != of.want {
			t.Errorf("%v: %+v, want %d", of.args, firing, of.want)
		}
	}

	// All of it is put right.
	c.restart(c.Sites[1].Proc)
	c.must(c.Lab.Unite())
	chain, key = c.left("renewed", "due."+domain, 95)
	c.warren("cert", "upload", "--cert", chain, "--key", key)
	c.web(c.Sites[0], "sick", "10.77.1.30", 8080)
	c.web(c.Sites[0], "broken", "10.77.1.31", 8080)
	failed := 12
	c.until("the target that was broken serves", func() error {
		_, err := c.Curl("https://broken."+domain+"/", cluster.At(c.Nodes[0], "broken."+domain)...)
		if err != nil {
			failed++
		}
		return err
	})
	ask("it serves", 2*failed, true)
	lab.Eventually(t, 3*patience, "everybody is told that it is over", func() error { return w.told("alert.resolved", "[resolved]", subjects) })
	if err := w.told("alert.firing", "[alert]", subjects); err != nil {
		t.Errorf("meanwhile: %v", err)
	}

	// What came of each message is kept.
	for name := range subjects {
		args := []string{"alert", "deliveries", name}
		if name == "nodes" {
			args = append(args, "--cluster")
		}
		c.until("the log of mail has both messages of "+name, func() error {
			var log []struct {
				Type, Address string
				OK            bool
			}
			if err := c.JSON(&log, args...); err != nil {
				return err
			}
			sent := map[string]bool{}
			for _, v := range log {
				sent[v.Type] = v.OK && v.Address == name+"@example.org"
			}
			if len(log) != 2 || !sent["alert.firing"] || !sent["alert.resolved"] {
				return fmt.Errorf("%+v", log)
			}
			return nil
		})
	}
	for want, args := range map[int][]string{8: {"webhook", "describe", "ops"}, 10: {"webhook", "describe", "ops", "--cluster"}} {
		c.until(fmt.Sprintf("%v shows the calls", args), func() error {
			var hook struct {
				Deliveries []struct {
					Type string
					OK   bool
				}
			}
			if err := c.JSON(&hook, args...); err != nil {
				return err
			}
			taken := 0
			for _, d := range hook.Deliveries {
				if d.OK && strings.HasPrefix(d.Type, "alert.") {
					taken++
				}
			}
			if taken < want {
				return fmt.Errorf("%d of %d: %+v", taken, want, hook.Deliveries)
			}
			return nil
		})
	}
}
