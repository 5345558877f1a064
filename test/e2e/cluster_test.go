//go:build e2e

// Package e2e runs the real programs on hosts made of network namespaces.
//
// The hosts: a database, a Valkey or Redis, two control replicas behind HAProxy, three nodes, two sites
// with one connector each behind address translation, the parent of the delegated domain, and an outside
// client with unbound as its resolver.
package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// patience is how long the slowest step may take on a busy machine. Tests assert what happens, not how fast.
const patience = 60 * time.Second

const domain = "warren.test"

type cluster struct {
	t       *testing.T
	lab     *lab.Lab
	dir     string
	bin     string
	db, kv  *lab.Process
	control [2]*lab.Process
	proxy   *lab.Process
	nodes   [3]*machine
	sites   [2]*private
	admin   *lab.Host
	client  *lab.Host
	pgHost  *lab.Host
	key     string
	env     []string // of the warren command
}

// machine is a node.
type machine struct {
	name string
	host *lab.Host
	proc *lab.Process
	conf string
}

// private is a site with its connector.
type private struct {
	name      string
	net       *lab.Site
	connector *lab.Host
	proc      *lab.Process
	conf      string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, lab: lab.New(t)}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	c.bin = filepath.Join(root, "bin")
	if c.dir, err = os.MkdirTemp("", "wrn-e2e-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(c.dir) })
	if err := os.Chmod(c.dir, 0o755); err != nil { // the database runs as another account
		t.Fatal(err)
	}
	c.startDatabase()
	c.startCache()
	c.startControl()
	c.startNodes()
	c.startSites()
	c.startParent()
	c.startClient()
	c.until("every node and connector is up", func() error {
		_, err := c.tryWarren("status")
		return err
	})
	return c
}

func (c *cluster) until(what string, ok func() error) {
	c.t.Helper()
	lab.Eventually(c.t, patience, what, ok)
}

func (c *cluster) write(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func (c *cluster) startDatabase() {
	t := c.t
	c.pgHost = c.lab.Host("db", "198.18.1.20")
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		t.Fatal("PostgreSQL is not installed")
	}
	bin := bins[len(bins)-1]
	pg, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(c.dir, "pg")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(pg.Uid)
	gid, _ := strconv.Atoi(pg.Gid)
	if err := os.Chown(data, uid, gid); err != nil {
		t.Fatal(err)
	}
	as := []string{"--reuid", pg.Uid, "--regid", pg.Gid, "--clear-groups", "--"}
	run := exec.Command("setpriv", append(as, filepath.Join(bin, "initdb"), "-D", data, "-U", "warren", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")...)
	run.Dir = "/"
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	// The lab's own network is the only one that there is.
	hba := filepath.Join(data, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("host all all 198.18.0.0/16 trust\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.db = c.pgHost.Start("postgresql", nil, "setpriv", append(as, filepath.Join(bin, "postgres"), "-D", data, "-k", "", "-c", "listen_addresses="+c.pgHost.Addr.String(), "-c", "fsync=off")...)
	c.until("the database answers", func() error { return c.sqlErr("SELECT 1") })
}

const dsn = "postgres://warren@198.18.1.20:5432/postgres?sslmode=disable"

func (c *cluster) sqlErr(query string) error {
	out, err := c.pgHost.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", query).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// sql is somebody with psql.
func (c *cluster) sql(query string) {
	c.t.Helper()
	if err := c.sqlErr(query); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) startCache() {
	h := c.lab.Host("kv", "198.18.1.21")
	server := ""
	for _, name := range []string{"valkey-server", "redis-server"} {
		if p, err := exec.LookPath(name); err == nil {
			server = p
			break
		}
	}
	if server == "" {
		c.t.Fatal("neither valkey-server nor redis-server is installed")
	}
	c.kv = h.Start("valkey", nil, server, "--bind", h.Addr.String(), "--port", "6379", "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", c.dir)
}

func (c *cluster) startControl() {
	kek, err := exec.Command(filepath.Join(c.bin, "warren-control"), "new-kek").Output()
	if err != nil {
		c.t.Fatal(err)
	}
	kekFile := c.write("kek.json", string(kek))
	keyFile := filepath.Join(c.dir, "bootstrap.key")
	for i := range c.control {
		h := c.lab.Host(fmt.Sprintf("control%d", i+1), fmt.Sprintf("198.18.1.%d", i+1))
		conf := c.write(h.Name+".yaml", fmt.Sprintf(`database_url: %s
valkey_url: redis://198.18.1.21:6379
kek_file: %s
bootstrap_key_file: %s
api_insecure: true # the lab's network is a wire between namespaces
listen:
  api: %s:8080
  push: %s:8443
  admin: 127.0.0.1:9090
`, dsn, kekFile, keyFile, h.Addr, h.Addr))
		c.control[i] = h.Start(h.Name, nil, filepath.Join(c.bin, "warren-control"), "--config", conf)
	}
	lb := c.lab.Host("lb", "198.18.1.10")
	conf := c.write("haproxy.cfg", `global
  maxconn 2000
defaults
  mode tcp
  timeout connect 2s
  timeout client 10m
  timeout server 10m
  option redispatch
  retries 3
listen api
  bind 198.18.1.10:8080
  option httpchk GET /readyz
  default-server check inter 300ms fall 2 rise 1
  server c1 198.18.1.1:8080
  server c2 198.18.1.2:8080
listen push
  bind 198.18.1.10:8443
  option httpchk GET /readyz
  default-server check port 8080 inter 300ms fall 2 rise 1
  server c1 198.18.1.1:8443
  server c2 198.18.1.2:8443
`)
	c.proxy = lb.Start("haproxy", nil, "/usr/sbin/haproxy", "-db", "-f", conf)
	c.admin = c.lab.Host("admin", "198.18.4.2")
	c.env = []string{"WARREN_SERVER=http://198.18.1.10:8080", "WARREN_API_KEY_FILE=" + keyFile, "HOME=" + c.dir}
	c.until("the control plane is ready", func() error {
		_, err := c.tryWarren("get", "pools")
		return err
	})
	b, err := os.ReadFile(keyFile)
	if err != nil {
		c.t.Fatal(err)
	}
	c.key = strings.TrimSpace(string(b))
}

// tryWarren runs the command line on the administrator's host.
func (c *cluster) tryWarren(args ...string) (string, error) {
	cmd := c.admin.Command(filepath.Join(c.bin, "warren"), args...)
	cmd.Env = append(os.Environ(), c.env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("warren %s: %w\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

func (c *cluster) warren(args ...string) string {
	c.t.Helper()
	out, err := c.tryWarren(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c *cluster) startNodes() {
	for i := range c.nodes {
		name := fmt.Sprintf("n%d", i+1)
		n := &machine{name: name, host: c.lab.Host(name, fmt.Sprintf("198.18.2.%d", i+1))}
		c.nodes[i] = n
		token := filepath.Join(c.dir, name+".token")
		c.warren("node", "join", name, "--token-file", token)
		n.conf = c.write(name+".yaml", fmt.Sprintf(`name: %s
state_dir: %s
control: ["198.18.1.10:8443"]
token_file: %s
public_addresses: ["%s"]
wireguard_endpoint: %s:51820
tunnel: tun
listen:
  https: "%s:443"
  dns: "%s:53"
  wireguard: 51820
  admin: 127.0.0.1:9090
`, name, filepath.Join(c.dir, name), token, n.host.Addr, n.host.Addr, n.host.Addr, n.host.Addr))
		c.startNode(n)
	}
}

func (c *cluster) startNode(n *machine) {
	n.proc = n.host.Start(n.name, nil, filepath.Join(c.bin, "warren-node"), "--config", n.conf)
}

func (c *cluster) startSites() {
	for i := range c.sites {
		name := fmt.Sprintf("s%d", i+1)
		s := &private{name: name, net: c.lab.Site(name, fmt.Sprintf("198.18.5.%d", i+1), fmt.Sprintf("10.77.%d.0/24", i+1))}
		c.sites[i] = s
		s.connector = s.net.Host(name+"-con", fmt.Sprintf("10.77.%d.2", i+1))
		c.warren("create", "site", name, "--pool", "default")
		token := filepath.Join(c.dir, name+".token")
		c.warren("site", "join", name, name+"-con", "--token-file", token)
		conf := c.write(name+".yaml", fmt.Sprintf(`name: %s-con
state_dir: %s
control: ["198.18.1.10:8443"]
token_file: %s
`, name, filepath.Join(c.dir, name), token))
		s.conf = conf
		c.startConnector(s)
	}
}

func (c *cluster) startConnector(s *private) {
	s.proc = s.connector.Start(s.name+"-con", nil, filepath.Join(c.bin, "warren-connector"), "--config", s.conf)
}

// startParent serves the root zone, which delegates the domain to the nodes by NS.
func (c *cluster) startParent() {
	h := c.lab.Host("parent", "198.18.3.1")
	zone := ". 60 IN SOA a.root. h.root. 1 60 60 60 60\n. 60 IN NS a.root.\na.root. 60 IN A 198.18.3.1\n"
	for _, n := range c.nodes {
		zone += fmt.Sprintf("%s. 60 IN NS ns-%s.%s.\nns-%s.%s. 60 IN A %s\n", domain, n.name, domain, n.name, domain, n.host.Addr)
	}
	zoneFile := c.write("root.zone", zone)
	conf := c.write("nsd.conf", fmt.Sprintf(`server:
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
`, c.dir, zoneFile))
	h.Start("nsd", nil, "/usr/sbin/nsd", "-d", "-c", conf)
	c.warren("create", "domain", domain, "--pool", "default", "--wait")
}

func (c *cluster) startClient() {
	c.client = c.lab.Host("client", "198.18.4.1")
	hints := c.write("root.hints", ". 3600 IN NS a.root.\na.root. 3600 IN A 198.18.3.1\n")
	conf := c.write("unbound.conf", fmt.Sprintf(`server:
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
	c.client.Start("unbound", nil, "/usr/sbin/unbound", "-d", "-c", conf)
	c.client.Resolver(c.client.Addr)
	ca := struct {
		Items []struct {
			Kind string `json:"kind"`
			PEM  string `json:"certificate_pem"`
		} `json:"items"`
	}{}
	c.api("GET", "/api/v1/authorities", nil, &ca)
	for _, a := range ca.Items {
		if a.Kind == "web" {
			c.write("web.pem", a.PEM)
			return
		}
	}
	c.t.Fatal("no web authority")
}

// api calls REST from the administrator's host.
func (c *cluster) api(method, path string, in io.Reader, out any) {
	c.t.Helper()
	err := c.admin.In(func() error {
		req, err := http.NewRequestWithContext(c.t.Context(), method, "http://198.18.1.10:8080"+path, in)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+c.key)
		conn, err := net.DialTimeout("tcp", "198.18.1.10:8080", 5*time.Second)
		if err != nil {
			return err
		}
		tr := &http.Transport{DisableKeepAlives: true, DialContext: once(conn)}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode/100 != 2 {
			err = fmt.Errorf("%s: %s", resp.Status, b)
		}
		if err == nil && out != nil {
			err = json.Unmarshal(b, out)
		}
		return err
	})
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// reply is what an echo target says of a request.
type reply struct {
	Name      string `json:"name"`
	Path      string `json:"path"`
	Host      string `json:"host"`
	Forwarded string `json:"forwarded"`
	Peer      string `json:"peer"`
}

// web runs an HTTP server on a new host of a site; it answers with what it sees.
func (c *cluster) web(s *private, name, addr string, port int) {
	c.t.Helper()
	ln := s.net.Host(s.name+"-"+name, addr).Listen(port)
	c.serve(ln, name)
}

func (c *cluster) serve(ln net.Listener, name string) {
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		_ = json.NewEncoder(w).Encode(reply{name, r.URL.Path, r.Host, r.Header.Get("X-Forwarded-For"), peer})
	})}
	go func() { _ = srv.Serve(ln) }()
	c.t.Cleanup(func() { _ = srv.Close() })
}

// webTLS is web with a certificate of the target's own.
func (c *cluster) webTLS(s *private, name, addr string, port int, cert tls.Certificate) {
	c.t.Helper()
	ln := s.net.Host(s.name+"-"+name, addr).Listen(port)
	c.serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}), name)
}

// curl fetches a URL from the outside client, through its resolver.
func (c *cluster) curl(url string, args ...string) (reply, error) {
	var r reply
	all := append([]string{"-sS", "--fail-with-body", "--max-time", "15", "--cacert", filepath.Join(c.dir, "web.pem")}, args...)
	cmd := c.client.Command("curl", append(all, url)...)
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

// at sends curl to one node instead of asking the resolver.
func at(n *machine, host string) []string {
	return []string{"--resolve", host + ":443:" + n.host.Addr.String()}
}

// dig asks a server and returns the short answer's lines, sorted by dig's own order.
func (c *cluster) dig(server, name, typ string) []string {
	out, err := c.client.Command("dig", "+short", "+tries=1", "+time=2", "@"+server, name, typ).Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

// apply applies YAML text.
func (c *cluster) apply(yaml string, args ...string) {
	c.t.Helper()
	file := c.write("apply.yaml", yaml)
	c.warren(append([]string{"apply", "-f", file}, args...)...)
}

// service is YAML for a service with one target.
func service(name, kind, host, site, addr string, port int) string {
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

// without returns the node that keeps no tunnels to a site: two of three do.
func (c *cluster) without(s *private) (outside *machine, inside []*machine) {
	c.t.Helper()
	var st struct {
		Nodes []struct {
			Name    string `json:"name"`
			ID      string `json:"id"`
			Tunnels []struct {
				Peer string `json:"peer"`
				Up   bool   `json:"up"`
			} `json:"tunnel_states"`
		} `json:"nodes"`
		Connectors []struct {
			ID   string `json:"id"`
			Site string `json:"site"`
		} `json:"connectors"`
	}
	if err := json.Unmarshal([]byte(c.warren("status", "-o", "json")), &st); err != nil {
		c.t.Fatal(err)
	}
	connector := ""
	for _, k := range st.Connectors {
		if k.Site == s.name {
			connector = k.ID
		}
	}
	for i, n := range st.Nodes {
		has := false
		for _, tn := range n.Tunnels {
			has = has || tn.Peer == connector && tn.Up
		}
		for _, m := range c.nodes {
			if m.name != st.Nodes[i].Name {
				continue
			}
			if has {
				inside = append(inside, m)
			} else {
				outside = m
			}
		}
	}
	if outside == nil || len(inside) != 2 {
		c.t.Fatalf("site %s has tunnels to %d nodes, want 2 of 3", s.name, len(inside))
	}
	return outside, inside
}

// once is a dial function for one request over a connection that is open already.
func once(conn net.Conn) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		if conn == nil {
			return nil, errors.New("used already")
		}
		c := conn
		conn = nil
		return c, nil
	}
}
