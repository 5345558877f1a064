package main

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

func TestHelloIsSkippedWhole(t *testing.T) {
	near, far := net.Pipe()
	go func() {
		_, _ = near.Write(append(append([]byte(nil), hello("a.example")...), "behind it"...))
		_ = near.Close()
	}()
	got, err := io.ReadAll(&behindHello{Conn: far})
	if err != nil || string(got) != "behind it" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHelloNamesTheService(t *testing.T) {
	near, far := net.Pipe()
	go func() { _, _ = near.Write(hello("a.example")); _ = near.Close() }()
	var name string
	err := tls.Server(far, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name = h.ServerName
		return nil, io.EOF
	}}).Handshake()
	if name != "a.example" {
		t.Errorf("name %q, %v", name, err)
	}
}

func TestSomethingElseIsNoHello(t *testing.T) {
	near, far := net.Pipe()
	go func() { _, _ = io.WriteString(near, "GET / HTTP/1.1\r\n"); _ = near.Close() }()
	if got, err := io.ReadAll(&behindHello{Conn: far}); err == nil || len(got) > 0 {
		t.Errorf("%q, %v", got, err)
	}
}
