package httpproxy

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// rekeying is a TLS 1.3 client that seals its own records after the handshake, so that it changes its keys as often as it likes,
// which crypto/tls's does not.
type rekeying struct {
	t      *testing.T
	raw    net.Conn
	suite  uint16
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func (e *edge) rekeying(t *testing.T, host string) *rekeying {
	t.Helper()
	raw, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := tls.Client(raw, &tls.Config{RootCAs: e.root, ServerName: host, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13, KeyLogWriter: &log})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	r := &rekeying{t: t, raw: raw, suite: c.ConnectionState().CipherSuite}
	_, line, _ := strings.Cut(log.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	fields := strings.Fields(line)
	if len(fields) < 2 {
		t.Fatalf("no secret in %q", log.String())
	}
	if r.secret, err = hex.DecodeString(fields[1]); err != nil {
		t.Fatal(err)
	}
	r.rekey()
	return r
}

// expand is HKDF-Expand-Label without a context (RFC 8446 §7.1).
func (r *rekeying) expand(label string, n int) []byte {
	label = "tls13 " + label
	info := append(binary.BigEndian.AppendUint16(nil, uint16(n)), byte(len(label)))
	out, err := hkdf.Expand(sha256.New, r.secret, string(info)+label+"\x00", n)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rekeying) rekey() {
	var err error
	switch r.suite {
	case tls.TLS_AES_128_GCM_SHA256:
		var block cipher.Block
		if block, err = aes.NewCipher(r.expand("key", 16)); err == nil {
			r.aead, err = cipher.NewGCM(block)
		}
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		r.aead, err = chacha20poly1305.New(r.expand("key", chacha20poly1305.KeySize))
	default:
		r.t.Fatalf("unexpected %s", tls.CipherSuiteName(r.suite))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.iv, r.seq = r.expand("iv", r.aead.NonceSize()), 0
}

// seal makes one record.
func (r *rekeying) seal(kind byte, content []byte) []byte {
	nonce := bytes.Clone(r.iv)
	for i := range 8 {
		nonce[len(nonce)-1-i] ^= byte(r.seq >> (8 * i))
	}
	r.seq++
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(content)+1+r.aead.Overhead()))
	return r.aead.Seal(head, nonce, append(bytes.Clone(content), kind), head)
}

// update makes a KeyUpdate; with answer it wants one of the node as well (RFC 8446 §4.6.3).
func (r *rekeying) update(answer bool) []byte {
	message := []byte{24, 0, 0, 1, 0}
	if answer {
		message[4] = 1
	}
	record := r.seal(22, message)
	r.secret = r.expand("traffic upd", sha256.Size)
	r.rekey()
	return record
}

// TestT11_KeyUpdates changes keys again and again: who does so between requests is served, who does nothing else loses the
// connection after sixteen, and others are served meanwhile. Beside a byte of a request each, updates cost a node less than
// handshakes of the same number of bytes, and what may be sent without a whole request is bounded.
func TestT11_KeyUpdates(t *testing.T) {
	requests := make(chan string, 100)
	e := newEdge(t, map[string]string{"plain": backend(t, func(_ http.ResponseWriter, r *http.Request) { requests <- r.URL.Path })})
	e.serve(t, map[string]string{"a.example": "plain"})
	c := e.rekeying(t, "a.example")
	for i := range 40 {
		if _, err := c.raw.Write(append(c.update(false), c.seal(23, []byte("GET /between HTTP/1.1\r\nHost: a.example\r\n\r\n"))...)); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if path := <-requests; path != "/between" {
			t.Errorf("the target got %s", path)
		}
	}
	for _, answer := range []bool{false, true} {
		c := e.rekeying(t, "a.example")
		sent := 0
		for range 10_000 {
			if _, err := c.raw.Write(c.update(answer)); err != nil {
				break
			}
			sent++
		}
		if _, err := io.Copy(io.Discard, c.raw); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection is open still, after %d updates", sent)
		}
		if status, _ := get(t, e.client(t, false, ""), "https://a.example/other"); status != http.StatusOK {
			t.Errorf("another client: %d", status)
		}
		<-requests
	}
}
