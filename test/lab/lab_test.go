//go:build netns

package lab

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A host in a private network reaches the internet by its router's address; nobody reaches it.
func TestSiteIsBehindNAT(t *testing.T) {
	l := New(t)
	web := l.Host("web", "198.18.9.1")
	site := l.Site("s1", "198.18.9.2", "10.99.1.0/24")
	pc := site.Host("pc", "10.99.1.10")

	ln := web.Listen(8080)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			_, _ = io.WriteString(c, host)
			_ = c.Close()
		}
	}()
	var seen string
	err := pc.In(func() error {
		c, err := net.DialTimeout("tcp", "198.18.9.1:8080", 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		seen = string(b)
		return err
	})
	if err != nil || seen != "198.18.9.2" {
		t.Errorf("the web server saw %q, %v; want the router's address", seen, err)
	}

	pcListener := pc.Listen(9090)
	err = web.In(func() error {
		c, err := net.DialTimeout("tcp", pcListener.Addr().String(), 300*time.Millisecond)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if err == nil {
		t.Error("the private host was reached from the internet")
	}
}

func TestProcess(t *testing.T) {
	l := New(t)
	h := l.Host("h", "198.18.9.1")
	p := h.Start("echo", nil, "sh", "-c", "echo here; ip -o addr; sleep 60")
	Eventually(t, 10*time.Second, "output", func() error {
		if !strings.Contains(p.Log(), "198.18.9.1/16") {
			return io.ErrNoProgress
		}
		return nil
	})
	if !p.Running() {
		t.Error("ended by itself")
	}
	p.Kill()
	if p.Running() {
		t.Error("survived")
	}
}
