package expose

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// Where nothing listens yet the URL is shown as soon as a node knows it, and not waited for until it answers.
func TestURLOfWhatDoesNotListenYet(t *testing.T) {
	var asked atomic.Int32
	node := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusMisdirectedRequest)
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer node.Close()
	roots := x509.NewCertPool()
	roots.AddCert(node.Certificate())
	var words []string
	r := &run{host: "example.com", Options: Options{
		What: Backend{Scheme: "http", Port: 1}, Roots: roots, Say: func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) },
		Edges: func(context.Context, string) ([]netip.AddrPort, error) {
			return []netip.AddrPort{netip.MustParseAddrPort(node.Listener.Addr().String())}, nil
		},
	}}
	p := &Published{}
	if err := r.answers(t.Context(), p, 1); err != nil {
		t.Fatal(err)
	}
	if p.Verified || !strings.HasPrefix(p.URL, "https://example.com:") || asked.Load() != 2 || len(words) != 1 || !strings.HasPrefix(words[0], "nothing listens at ") {
		t.Errorf("%+v, asked %d times, %q", p, asked.Load(), words)
	}
}

// A node that reaches no target closes the connection at once; one whose target waits for words, or speaks first, does not.
func TestOpenIsAConnectionThatStays(t *testing.T) {
	for name, target := range map[string]func(c net.Conn){
		"waits": func(net.Conn) {}, "speaks": func(c net.Conn) { _, _ = c.Write([]byte("220 hello\r\n")) }, "closes": func(c net.Conn) { _ = c.Close() },
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held := make(chan net.Conn, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				target(c)
				held <- c
			}
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far := <-held // what the target does it has done: how soon that has to be is not what this is about
		if err := open(c); errors.Is(err, errUnreached) != (name == "closes") {
			t.Errorf("%s: %v", name, err)
		}
		_ = far.Close()
		_ = l.Close()
	}
}
