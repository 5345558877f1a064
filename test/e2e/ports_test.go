//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// raw is YAML for a service with ports of its own, and its target.
func raw(name, kind, ports, site, addr string, port int) string {
	return fmt.Sprintf(`apiVersion: warren/v1
kind: Service
metadata: {name: %[1]s}
spec: {kind: %[2]s, ports: "%[3]s", pool: default}
---
apiVersion: warren/v1
kind: Target
metadata: {name: %[1]s}
spec: {service: %[1]s, site: %[4]s, address: %[5]s, port: %[6]d}
`, name, kind, ports, site, addr, port)
}

// A service with ports of its own is open on every node when apply returns, whichever nodes its site is
// connected to, and closed again when it is deleted.
func TestPortsOpenAndCloseByOneCall(t *testing.T) {
	c := newCluster(t)
	c.web(c.Sites[0], "web", "10.77.1.10", 8080)
	c.apply(raw("raw", "tcp", "5432", "s1", "10.77.1.10", 8080), "--wait")
	for _, n := range c.Nodes {
		to := []string{"--resolve", app + ":5432:" + n.Host.Addr.String()}
		if r := c.answered("http://"+app+":5432/", to...); r.Name != "web" {
			t.Errorf("%s: %+v", n.Name, r)
		}
	}
	c.warren("delete", "target", "raw", "--yes")
	c.warren("delete", "service", "raw", "--yes", "--wait")
	for _, n := range c.Nodes {
		conn, err := c.Client.Dial(t.Context(), "tcp", netip.AddrPortFrom(n.Host.Addr, 5432))
		if err == nil {
			_ = conn.Close()
			t.Errorf("%s: the port is open after its service is gone", n.Name)
		}
	}
}

// Datagrams reach a target through every node, and each client's answers come back to it.
func TestDatagramsReachTheirTarget(t *testing.T) {
	c := newCluster(t)
	var target *net.UDPConn
	c.must(c.Lab.Try(func() error {
		target = c.Sites[0].Net.Host("udp", "10.77.1.12").ListenUDP(9000)
		return nil
	}))
	go func() { // until the lab closes it
		buf := make([]byte, 2048)
		for {
			n, from, err := target.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = target.WriteToUDPAddrPort([]byte(strings.ToUpper(string(buf[:n]))), from)
		}
	}()
	c.apply(raw("echo", "udp", "9000", "s1", "10.77.1.12", 9000), "--wait")
	for _, n := range c.Nodes {
		conn, err := c.Client.Dial(t.Context(), "udp", netip.AddrPortFrom(n.Host.Addr, 9000))
		if err != nil {
			t.Fatal(err)
		}
		c.until("an answer through "+n.Name, func() error {
			if _, err := conn.Write([]byte("hello " + n.Name)); err != nil {
				return err
			}
			_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			buf := make([]byte, 2048)
			got, err := conn.Read(buf)
			if err == nil && string(buf[:got]) != "HELLO N"+n.Name[1:] {
				err = fmt.Errorf("answer %q", buf[:got])
			}
			return err
		})
		_ = conn.Close()
	}
}
