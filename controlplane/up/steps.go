package up

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/backoff"
)

// org is the organization of all that is made.
const org = "default"

// path is a file of the state directory.
func (c *cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.Dir}, parts...)...)
}

func (c *cluster) startControl(ctx context.Context) error {
	if !exists(c.path("kek.json")) {
		kek, err := authority.NewKEK()
		if err != nil {
			return err
		}
		if err := atomicfile.Write(c.path("kek.json"), kek); err != nil {
			return err
		}
	}
	conf := c.path("control.yaml")
	err := writeYAML(conf, map[string]any{
		"database_url": c.pg.DSN(""), "kek_file": c.path("kek.json"), "bootstrap_key_file": c.path("api.key"),
		// By this name, as browsers keep cookies that are for TLS alone, and passkeys, of no address.
		"url": fmt.Sprintf("http://localhost:%d", c.ports.API), "setup_token_file": c.path("setup.url"),
		"listen": map[string]any{"api": local(c.ports.API), "push": local(c.ports.Push), "admin": local(c.ports.Admin[0])},
	})
	if err != nil {
		return err
	}
	if err := c.children.Start("warren-control", filepath.Join(c.Bin, "warren-control"), "--config", conf); err != nil {
		return err
	}
	server := "http://" + local(c.ports.API)
	err = c.until(ctx, "warren-control", func() error {
		if err := get(ctx, server+"/readyz"); err != nil {
			return err
		}
		return c.connect(ctx, server) // fails while another cluster's answers there: then this one's ends and says why
	})
	if err != nil {
		return err
	}
	if err := writeYAML(c.path("cli.yaml"), map[string]string{"server": server, "api_key_file": "api.key", "site": site, "domain": onMachine}); err != nil {
		return err
	}
	c.say("warren-control is ready at %s", server)
	return nil
}

// connect takes the key that the control plane has written, and tries it.
func (c *cluster) connect(ctx context.Context, server string) error {
	key, err := os.ReadFile(c.path("api.key"))
	if err != nil {
		return err
	}
	client, err := apiclient.New(apiclient.Options{Server: server, Key: string(key)})
	if err != nil {
		return err
	}
	c.api = typed.New(client)
	return c.saveAuthority(ctx)
}

// saveAuthority writes the authority that signs the hostnames, for curl to trust.
func (c *cluster) saveAuthority(ctx context.Context) error {
	page, _, err := c.api.ListAuthorities(ctx, typed.ListAuthoritiesParams{})
	if err != nil {
		return err
	}
	for _, a := range page.Items {
		if a.Kind == string(authority.Web) {
			return atomicfile.Write(c.path("ca.pem"), []byte(a.CertificatePEM))
		}
	}
	return errors.New("the control plane has no web authority")
}

// until calls ok until it returns nil, ctx ends, or a child fails.
func (c *cluster) until(ctx context.Context, what string, ok func() error) error {
	wait := backoff.Backoff{Min: 20 * time.Millisecond, Max: 200 * time.Millisecond}
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case name := <-c.children.Failed():
			return fmt.Errorf("%s ended by itself; its last words, from %s:\n%s", name, c.children.LogFile(name), c.children.Tail(name))
		default:
		}
		if !wait.Wait(ctx) {
			return fmt.Errorf("%s: not within %s: %w (logs are in %s)", what, startup, err, c.path("logs"))
		}
	}
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

func (c *cluster) startNodes(ctx context.Context) error {
	var nodes []member
	for i := range c.ports.HTTPS {
		name := fmt.Sprintf("node-%d", i+1)
		state, token := c.path(name), c.path(name+".token")
		node, err := c.putNode(ctx, name, token)
		if err != nil {
			return err
		}
		nodes = append(nodes, node)
		conf := c.path(name + ".yaml")
		err = writeYAML(conf, map[string]any{
			"name": name, "state_dir": state, "control": []string{local(c.ports.Push)}, "token_file": token,
			"public_addresses":   []string{"127.0.0.1"},
			"wireguard_endpoint": local(c.ports.WG[i]), "stream_endpoint": local(c.ports.HTTPS[i]), "gossip_endpoint": local(c.ports.Gossip[i]),
			"drain_time": "0s",       // nobody asks this DNS where else to go
			"tunnel":     "netstack", // two nodes on one machine can't share its routing table
			"listen": map[string]any{
				"https": local(c.ports.HTTPS[i]), "http": local(c.ports.HTTP[i]), "dns": local(c.ports.DNS[i]), "wireguard": c.ports.WG[i], "admin": local(c.ports.Admin[1+i]),
				"gossip":       local(c.ports.Gossip[i]),
				"forward_host": fmt.Sprintf("127.0.0.%d", 1+i), // of services with ports of their own: every node opens the same
			},
		})
		if err != nil {
			return err
		}
		if err := c.children.Start(name, filepath.Join(c.Bin, "warren-node"), "--config", conf); err != nil {
			return err
		}
	}
	return c.ready(ctx, "nodes", nodes...)
}

func (c *cluster) startConnector(ctx context.Context) error {
	const name = "connector"
	if _, _, err := c.api.GetSite(ctx, org, site); err != nil { // else it stays as it was made since
		if _, _, err := c.api.PutSite(ctx, org, site, typed.PutSiteParams{}, typed.SiteBody{Pool: "default"}); err != nil {
			return err
		}
	}
	state, token := c.path(name), c.path(name+".token")
	connector, err := c.putConnector(ctx, name, token)
	if err != nil {
		return err
	}
	conf := c.path(name + ".yaml")
	err = writeYAML(conf, map[string]any{
		"name": name, "state_dir": state, "control": []string{local(c.ports.Push)}, "token_file": token,
		"tunnel": "netstack", // as without privileges
		"listen": map[string]any{"admin": local(c.ports.Admin[3])},
	})
	if err != nil {
		return err
	}
	if err := c.children.Start(name, filepath.Join(c.Bin, "warren-connector"), "--config", conf); err != nil {
		return err
	}
	return c.ready(ctx, "connectors", connector)
}

// publish starts the sample service and publishes it.
func (c *cluster) publish(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := c.children.Start("sample-service", self, "sample-service", "--listen", local(c.ports.Web)); err != nil {
		return err
	}
	var last uint64
	for _, o := range []struct {
		plural, name string
		fields       map[string]any
	}{
		{"domains", apex, map[string]any{"pool": "default"}},
		{"domains", onMachine, map[string]any{"pool": "default"}},
		{"services", "hello", map[string]any{"kind": "http", "hostname": Hostname, "pool": "default"}},
		{"targets", "hello", map[string]any{"service": "hello", "site": site, "address": "127.0.0.1", "port": c.ports.Web}},
	} {
		_, done, err := c.api.Objects(o.plural, org).Put(ctx, o.name, o.fields) // what is so already is not written
		if err != nil {
			return err
		}
		last = max(last, done.Revision)
	}
	if last > 0 {
		if _, err := c.api.Applied(ctx, last, startup); err != nil {
			return err
		}
		c.say("revision %d is applied by every node", last)
	}
	return nil
}

// firstRequest fetches the sample service from outside, through both nodes.
func (c *cluster) firstRequest(ctx context.Context) error {
	pem, err := os.ReadFile(c.path("ca.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for i, port := range c.ports.HTTPS {
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", local(port))
			},
		}}
		err := c.until(ctx, fmt.Sprintf("https://%s through node %d", Hostname, i+1), func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+Hostname+"/", nil)
			if err != nil {
				return err
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
			if err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK || !strings.Contains(string(b), Greeting) {
				return fmt.Errorf("%s: %.200s", resp.Status, b)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if i == 0 {
			c.firstAnswer()
		}
	}
	return nil
}

// firstAnswer says how long it took.
func (c *cluster) firstAnswer() {
	more := ""
	if !c.Since.IsZero() {
		more = fmt.Sprintf(", %.1f s with the build", time.Since(c.Since).Seconds())
	}
	c.say("first HTTPS request answered, %.1f s after the start%s", time.Since(c.begin).Seconds(), more)
}

// Greeting is what the sample service says.
const Greeting = "Hello from the other end of the tunnel"

// help prints commands that work when pasted.
func (c *cluster) help() {
	self, err := os.Executable()
	if err != nil {
		self = "warren"
	}
	cli := fmt.Sprintf("%s --config %s", quote(self), quote(c.path("cli.yaml")))
	p := c.ports
	signIn := fmt.Sprintf("http://localhost:%d/", c.ports.API)
	if link, err := os.ReadFile(c.path("setup.url")); err == nil {
		signIn = strings.TrimSpace(string(link)) + "\n  (once, within a day of the first start; later " + signIn + ")"
	}
	fmt.Fprintf(c.Out, `
Warren is up. Everything listens on loopback; the state is in %s.
Paste these into another terminal:

  curl --cacert %s --resolve %s:%d:127.0.0.1 https://%s:%d/
  dig @127.0.0.1 -p %d %s A
  %s status
  %s snapshot
  %s snapshot node-1

Publish what listens at a port of yours, for as long as it runs: %s expose 8080

Sign in as its first administrator:

  %s

Ctrl-C ends it.
`, c.Dir, quote(c.path("ca.pem")), Hostname, p.HTTPS[0], Hostname, p.HTTPS[0], p.DNS[0], Hostname, cli, cli, cli, cli, signIn)
}

// quote makes a path safe to paste.
func quote(s string) string {
	if strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+", r))
	}) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
