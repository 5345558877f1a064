package terminate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

func TestTicketKeysDoNotPrint(t *testing.T) {
	k := TicketKey{'c', 'a', 'n', 'a', 'r', 'y'}
	if s := fmt.Sprintf("%v %+v %#v %s %v", k, k, k, k, []TicketKey{k}); strings.Contains(s, "canary") || strings.Contains(s, "99") {
		t.Error(s)
	}
}

// A ticket of one use opens with no other's keys, although both come of the same.
func TestTicketsOfOneUse(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	var asked *Clients
	lookup := func(string) (Choice, *Clients) { return Choice{cert}, asked }
	var tickets, others Tickets
	tickets.Set([]TicketKey{{1}})
	others.Set([]TicketKey{{1}})
	cache := tls.NewLRUClientSessionCache(1)
	resumed := func(server *tls.Config) bool {
		t.Helper()
		near, far := net.Pipe()
		defer near.Close()
		done := make(chan error, 1)
		go func() {
			c := tls.Server(far, server)
			done <- c.Handshake()
			_ = far.Close()
		}()
		c := tls.Client(near, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, ClientSessionCache: cache, MaxVersion: tls.VersionTLS12})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return c.ConnectionState().DidResume
	}
	if web := Config(lookup, &tickets, "h2", "http/1.1"); resumed(web) || !resumed(web) {
		t.Error("the same use does not resume")
	}
	if !resumed(Config(lookup, &others, "h2", "http/1.1")) {
		t.Error("the same use elsewhere does not resume")
	}
	if resumed(Config(lookup, &tickets)) {
		t.Error("another use resumes")
	}

	// Nor does a ticket carry a session past the question for a certificate, or past the question for another one's (T3).
	web := Config(lookup, &tickets, "h2", "http/1.1")
	for _, a := range []*Clients{{Authorities: x509.NewCertPool(), ID: "one"}, {Authorities: x509.NewCertPool(), ID: "two"}, nil} {
		asked = a
		if resumed(web) {
			t.Errorf("a session resumes after the question for certificates has become %v", a)
		}
		if !resumed(web) {
			t.Errorf("a session does not resume although the question is the same, %v", a)
		}
	}
}
