package sni

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"testing"
)

func alpn(protocols ...string) []byte {
	var list []byte
	for _, p := range protocols {
		list = append(append(list, byte(len(p))), p...)
	}
	return extension(16, append([]byte{byte(len(list) >> 8), byte(len(list))}, list...))
}

func TestReadHelloProtocol(t *testing.T) {
	for _, tt := range []struct {
		name     string
		in       []byte
		want     string
		wantName string
		err      reason
	}{
		{"none", rawHello(nameExtension("a.example")), "", "a.example", ""},
		{"one, and a name", rawHello(alpn("own/1"), nameExtension("a.example")), "own/1", "a.example", ""},
		{"one, without a name", rawHello(alpn("own/1")), "own/1", "", reasonNoName},
		{"one, with a bad name", rawHello(nameExtension("192.0.2.1"), alpn("own/1")), "own/1", "", reasonBadName},
		{"two", rawHello(alpn("own/1", "h2"), nameExtension("a.example")), "", "a.example", ""},
		{"three", rawHello(alpn("own/1", "own/1", "own/1"), nameExtension("a.example")), "", "a.example", ""},
		{"an empty list", rawHello(alpn(), nameExtension("a.example")), "", "", reasonMalformed},
		{"an empty protocol", rawHello(alpn("own/1", ""), nameExtension("a.example")), "", "", reasonMalformed},
		{"bytes behind the list", rawHello(extension(16, append(alpn("own/1")[4:], 0)), nameExtension("a.example")), "", "", reasonMalformed},
		{"twice", rawHello(alpn("own/1"), alpn("own/1")), "", "", reasonMalformed},
		{"as crypto/tls sends it", clientHello(t, "", func(c *tls.Config) { c.NextProtos = []string{"own/1"} }), "own/1", "", reasonNoName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, protocol, _, err := readHello(recorder{out: new(bytes.Buffer), in: bytes.NewReader(tt.in)})
			var r reason
			errors.As(err, &r)
			if name != tt.wantName || protocol != tt.want || r != tt.err {
				t.Errorf("got %q, %q, %q, want %q, %q, %q", name, protocol, r, tt.wantName, tt.want, tt.err)
			}
		})
	}
}

// A connection of our own protocol is handed over with or without a name, whatever that name's route is;
// vouched for, it no longer counts for its address.
func TestOwnProtocol(t *testing.T) {
	own := NewHandoff()
	o := options(NewHandoff(), nil)
	o.Own = []Own{{Protocol: "own/1", To: own}}
	f := New(o)
	f.Apply(Config{Routes: []Route{passRoute("www.example.org")}})
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx, l) }()
	for _, name := range []string{"", "www.example.org"} {
		hello := clientHello(t, name, func(c *tls.Config) { c.NextProtos = []string{"own/1"} })
		client := dial(t, l.Addr().String())
		if _, err := client.Write(append(bytes.Clone(hello), "more"...)); err != nil {
			t.Fatal(err)
		}
		c, err := own.Accept()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(hello)+4)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, append(hello, "more"...)) {
			t.Errorf("%q: what was handed over is not what was sent: %v", name, err)
		}
		counts := o.Limit.Open
		if each, all := counts(); each != 1 || all != 1 {
			t.Errorf("%d addresses, %d connections counted, want 1 and 1", each, all)
		}
		vouch := c.(interface{ Vouch() }).Vouch
		vouch()
		vouch()
		if each, all := counts(); each != 0 || all != 1 {
			t.Errorf("vouched for: %d addresses, %d connections counted, want 0 and 1", each, all)
		}
		_, _ = c.Close(), c.Close()
		vouch()
		if each, all := counts(); each != 0 || all != 0 {
			t.Errorf("closed: %d addresses, %d connections counted, want none", each, all)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A protocol that is spoken for some names is theirs only: a target behind a passthrough route may speak it, too.
func TestOwnProtocolOfSomeNames(t *testing.T) {
	own, ended := NewHandoff(), NewHandoff()
	o := options(ended, nil)
	o.Own = []Own{{Protocol: "own/1", To: own, For: func(name string) bool { return name == "ours.example.org" }}}
	f := New(o)
	f.Apply(Config{Routes: []Route{{Hostname: "ours.example.org", Mode: HTTP}, {Hostname: "www.example.org", Mode: HTTP}}})
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Serve(ctx, l) }()
	for name, to := range map[string]*Handoff{"Ours.example.org": own, "www.example.org": ended} {
		client := dial(t, l.Addr().String())
		if _, err := client.Write(clientHello(t, name, func(c *tls.Config) { c.NextProtos = []string{"own/1"} })); err != nil {
			t.Fatal(err)
		}
		c, err := to.Accept() // where it went elsewhere, this waits for ever
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	client := dial(t, l.Addr().String())
	if _, err := client.Write(clientHello(t, "", func(c *tls.Config) { c.NextProtos = []string{"own/1"} })); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Errorf("without a name: %d bytes, %v", n, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
