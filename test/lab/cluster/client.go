package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// startParent serves the root zone, which delegates the domain to the nodes by NS and knows where people sign in.
func (c *Cluster) startParent(context.Context) error {
	h := c.Lab.Host("parent", "198.18.3.1")
	zone := ". 60 IN SOA a.root. h.root. 1 60 60 60 60\n. 60 IN NS a.root.\na.root. 60 IN A 198.18.3.1\n" + pagesHost + ". 60 IN A 198.18.1.10\n"
	for _, n := range c.Nodes {
		zone += fmt.Sprintf("%[1]s. 60 IN NS ns-%[2]s.%[1]s.\nns-%[2]s.%[1]s. 60 IN A %[3]s\n", Domain, n.Name, n.Host.Addr)
	}
	zoneFile, err := c.Write("root.zone", zone+c.cfg.Root)
	if err != nil {
		return err
	}
	conf, err := c.Write("nsd.conf", fmt.Sprintf(`server:
  ip-address: 198.18.3.1
  username: ""
  chroot: ""
  zonesdir: ""
  database: ""
  zonelistfile: %[1]s/nsd.list
  xfrdfile: %[1]s/nsd.xfrd
  xfrdir: %[1]s
  pidfile: %[1]s/nsd.pid
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: %[2]s
`, c.Dir, zoneFile))
	if err != nil {
		return err
	}
	h.Start("nsd", nil, "/usr/sbin/nsd", "-d", "-c", conf)
	_, err = c.Warren("create", "domain", Domain, "--pool", "default", "--wait")
	return err
}

func (c *Cluster) startClient(ctx context.Context) error {
	c.Client = c.Lab.Host("client", c.cfg.addrs("198.18.4.1", "2001:db8:4::1")...)
	hints, err := c.Write("root.hints", ". 3600 IN NS a.root.\na.root. 3600 IN A 198.18.3.1\n")
	if err != nil {
		return err
	}
	conf, err := c.Write("unbound.conf", fmt.Sprintf(`server:
  interface: 198.18.4.1
  access-control: 198.18.0.0/16 allow
  root-hints: %s
  module-config: "iterator"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-ip6: no
  use-caps-for-id: yes
  qname-minimisation-strict: yes
  harden-below-nxdomain: yes
  local-zone: "test." nodefault
  private-address: 0.0.0.0/32
  cache-max-ttl: 30
  cache-max-negative-ttl: 1
remote-control:
  control-enable: no
`, hints))
	if err != nil {
		return err
	}
	c.Client.Start("unbound", nil, "/usr/sbin/unbound", "-d", "-c", conf)
	c.Client.Resolver(c.Client.Addr)
	var ca struct {
		Items []struct {
			Kind string `json:"kind"`
			PEM  string `json:"certificate_pem"`
		} `json:"items"`
	}
	if err := c.API(ctx, "GET", "/api/v1/authorities", nil, &ca); err != nil {
		return err
	}
	for _, a := range ca.Items {
		if a.Kind == "web" {
			_, err := c.Write(webCA, a.PEM)
			return err
		}
	}
	return errors.New("no web authority")
}

const webCA = "web.pem"

// WebCA is the file with the authority that clients trust.
func (c *Cluster) WebCA() string { return filepath.Join(c.Dir, webCA) }

// Roots is that authority.
func (c *Cluster) Roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(c.WebCA())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", c.WebCA())
	}
	return roots, nil
}

// Named asks a node's own DNS for a name's addresses of IPv4.
func (c *Cluster) Named(ctx context.Context, n *Node, host string) ([]netip.Addr, error) {
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return c.Client.Dial(ctx, network, netip.AddrPortFrom(n.Host.Addr, 53))
	}}
	addrs, err := r.LookupNetIP(ctx, "ip4", host+".")
	for i, a := range addrs {
		addrs[i] = a.Unmap()
	}
	return addrs, err
}

// Reply is what an echo target says of a request.
type Reply struct {
	Name      string `json:"name"`
	Path      string `json:"path"`
	Host      string `json:"host"`
	Forwarded string `json:"forwarded"`
	Peer      string `json:"peer"`
}

// Web runs an HTTP server on a new host of a site; it answers with what it sees. With certificates it speaks TLS.
func (c *Cluster) Web(s *Site, name, addr string, port int, certs ...tls.Certificate) error {
	return c.Lab.Try(func() error {
		var ln net.Listener = s.Net.Host(s.Name+"-"+name, addr).Listen(port) // the lab closes it, which ends the server
		if len(certs) > 0 {
			ln = tls.NewListener(ln, &tls.Config{Certificates: certs, MinVersion: tls.VersionTLS12})
		}
		srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			peer, _, _ := net.SplitHostPort(r.RemoteAddr)
			_ = json.NewEncoder(w).Encode(Reply{name, r.URL.Path, r.Host, r.Header.Get("X-Forwarded-For"), peer})
		})}
		go func() { _ = srv.Serve(ln); _ = srv.Close() }()
		return nil
	})
}

// Curl fetches a URL from the outside client, through its resolver.
func (c *Cluster) Curl(url string, args ...string) (Reply, error) {
	var r Reply
	all := append([]string{"-sS", "--fail-with-body", "--max-time", "15", "--cacert", c.WebCA()}, args...)
	cmd := c.Client.Command("curl", append(all, url)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("curl %s: %w: %s%s", url, err, stderr.String(), stdout.String())
	}
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil {
		return r, fmt.Errorf("curl %s: %w: %s", url, err, stdout.String())
	}
	return r, nil
}

// At sends curl to one node instead of asking the resolver.
func At(n *Node, host string) []string {
	return []string{"--resolve", host + ":443:" + n.Host.Addr.String()}
}

// Dig asks a server from the client and returns the short answer's lines; nothing when there is no answer.
func (c *Cluster) Dig(server, name, typ string) []string {
	out, err := c.Client.Command("dig", "+short", "+tries=1", "+time=2", "@"+server, name, typ).Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

// Service is YAML for a service with one target.
func Service(name, kind, host, site, addr string, port int) string {
	return fmt.Sprintf(`apiVersion: warren/v1
kind: Service
metadata: {name: %[1]s}
spec: {kind: %[2]s, hostname: %[3]s, pool: default}
---
apiVersion: warren/v1
kind: Target
metadata: {name: %[1]s}
spec: {service: %[1]s, site: %[4]s, address: %[5]s, port: %[6]d}
`, name, kind, host, site, addr, port)
}
