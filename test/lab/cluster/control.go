package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const dsn = "postgres://warren@198.18.1.20:5432/postgres?sslmode=disable"

func (c *Cluster) startDatabase(ctx context.Context) error {
	h := c.Lab.Host("db", "198.18.1.20")
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(bins) == 0 {
		return errors.New("PostgreSQL is not installed")
	}
	bin := bins[len(bins)-1]
	pg, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	data := filepath.Join(c.Dir, "pg")
	c.Disks["db"] = c.Lab.Disk(data, databaseDisk)
	uid, _ := strconv.Atoi(pg.Uid)
	gid, _ := strconv.Atoi(pg.Gid)
	if err := os.Chown(data, uid, gid); err != nil {
		return err
	}
	as := []string{"--reuid", pg.Uid, "--regid", pg.Gid, "--clear-groups", "--"}
	run := exec.CommandContext(ctx, "setpriv", append(as, filepath.Join(bin, "initdb"), "-D", data, "-U", "warren", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")...)
	run.Dir = "/"
	if out, err := run.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	// The lab's own network is the only one that there is.
	hba := filepath.Join(data, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("host all all 198.18.0.0/16 trust\n"), 0o600); err != nil {
		return err
	}
	c.DB = h.Start("postgresql", nil, "setpriv", append(as, filepath.Join(bin, "postgres"), "-D", data, "-k", "", "-c", "listen_addresses="+h.Addr.String(), "-c", "fsync=off")...)
	return c.Until(ctx, "the database answers", func() error { return c.SQL("SELECT 1") })
}

// SQL is somebody with psql.
func (c *Cluster) SQL(query string) error {
	_, err := c.Query(query)
	return err
}

// Query is SQL that returns rows, a line each.
func (c *Cluster) Query(query string) ([]string, error) {
	var said strings.Builder
	cmd := c.DB.Host.Command("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", query)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("psql: %w: %s", err, said.String())
	}
	return strings.Fields(string(out)), nil
}

func (c *Cluster) startCache(context.Context) error {
	h := c.Lab.Host("kv", "198.18.1.21")
	for _, name := range []string{"valkey-server", "redis-server"} {
		if server, err := exec.LookPath(name); err == nil {
			c.Cache = h.Start("valkey", nil, server, "--bind", h.Addr.String(), "--port", "6379", "--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", c.Dir)
			return nil
		}
	}
	return errors.New("neither valkey-server nor redis-server is installed")
}

func (c *Cluster) startControl(ctx context.Context) error {
	kek, err := exec.CommandContext(ctx, c.bin("warren-control"), "new-kek").Output()
	if err != nil {
		return fmt.Errorf("new-kek: %w", err)
	}
	kekFile, err := c.Write("kek.json", string(kek))
	if err != nil {
		return err
	}
	keyFile := filepath.Join(c.Dir, "bootstrap.key")
	if err := c.certifyPages(); err != nil {
		return err
	}
	var servers [2]strings.Builder // of HAProxy: api, push
	for i := range c.cfg.Replicas {
		h := c.Lab.Host(fmt.Sprintf("control%d", i+1), replica(i))
		conf, err := c.Write(h.Name+".yaml", fmt.Sprintf(`database_url: %s
valkey_url: redis://198.18.1.21:6379
kek_file: %s
bootstrap_key_file: %s
url: %[5]s
setup_token_file: %[6]s
trusted_proxies: [198.18.1.10/32]
api_insecure: true # the lab's network is a wire between namespaces
dns_roots: [198.18.3.1] # the parent
listen:
  api: %[4]s:8080
  push: %[4]s:8443
  admin: 127.0.0.1:9090
`, dsn, kekFile, keyFile, h.Addr, PagesURL, filepath.Join(c.Dir, setupFile)))
		if err != nil {
			return err
		}
		c.Control = append(c.Control, h.Start(h.Name, nil, c.bin("warren-control"), "--config", conf))
		fmt.Fprintf(&servers[0], "  server c%d %s:8080\n", i+1, h.Addr)
		fmt.Fprintf(&servers[1], "  server c%d %s:8443\n", i+1, h.Addr)
	}
	if err := c.startBalancer(servers[0].String(), servers[1].String()); err != nil {
		return err
	}
	c.Admin = c.Lab.Host("admin", "198.18.4.2")
	c.env = []string{"WARREN_SERVER=http://198.18.1.10:8080", "WARREN_API_KEY_FILE=" + keyFile, "HOME=" + c.Dir}
	if err := c.Until(ctx, "the control plane is ready", func() error {
		_, err := c.Warren("get", "pools")
		return err
	}); err != nil {
		return err
	}
	b, err := os.ReadFile(keyFile)
	c.Key = strings.TrimSpace(string(b))
	return err
}

// replica is the address of a control replica; .10, .20 and .21 of the same network are others'.
func replica(i int) string {
	if i < 9 {
		return fmt.Sprintf("198.18.1.%d", i+1)
	}
	return fmt.Sprintf("198.18.1.%d", i+21)
}

func (c *Cluster) startBalancer(api, push string) error {
	lb := c.Lab.Host("lb", c.cfg.addrs("198.18.1.10", "2001:db8:1::10")...)
	bind6 := ""
	if c.cfg.six() {
		bind6 = "  bind 2001:db8:1::10:8443\n"
	}
	conf, err := c.Write("haproxy.cfg", fmt.Sprintf(`global
  maxconn 2000
defaults
  mode tcp
  timeout connect 2s
  timeout check 2s # one that has ended refuses at once; one that only waits for a processor is none that has
  timeout client 10m
  timeout server 10m
  option redispatch
  retries 3
listen api
  bind 198.18.1.10:8080
  option httpchk GET /readyz
  default-server check inter 300ms fall 2 rise 1
%[1]slisten pages
  mode http
  bind 198.18.1.10:443 ssl crt %[4]s
  option forwardfor
  option httpchk GET /readyz
  default-server check inter 300ms fall 2 rise 1
%[1]slisten push
  bind 198.18.1.10:8443
%[2]s  option httpchk GET /readyz
  default-server check port 8080 inter 300ms fall 2 rise 1
%[3]s`, api, bind6, push, filepath.Join(c.Dir, pagesKeys)))
	if err != nil {
		return err
	}
	c.Balancer = lb.Start("haproxy", nil, "/usr/sbin/haproxy", "-db", "-f", conf)
	return nil
}

// ControlCommand runs a command of warren-control with the settings of the first replica, on its host.
func (c *Cluster) ControlCommand(args ...string) (string, error) {
	out, err := c.Lab.Find("control1").Command(c.bin("warren-control"), append(args, "--config", filepath.Join(c.Dir, "control1.yaml"))...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("warren-control %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Warren runs the command line on the administrator's host.
func (c *Cluster) Warren(args ...string) (string, error) {
	cmd := c.Admin.Command(c.bin("warren"), args...)
	cmd.Env = append(os.Environ(), c.env...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("warren %s: %w\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// JSON reads a command's output as JSON. A command that says "not ready" still prints it.
func (c *Cluster) JSON(v any, args ...string) error {
	out, err := c.Warren(append(args, "-o", "json")...)
	if jerr := json.Unmarshal([]byte(out), v); jerr != nil {
		return errors.Join(jerr, err)
	}
	return nil
}

// Apply applies YAML text.
func (c *Cluster) Apply(yaml string, args ...string) error {
	file, err := c.Write("apply.yaml", yaml)
	if err == nil {
		_, err = c.Warren(append([]string{"apply", "-f", file}, args...)...)
	}
	return err
}

// API calls REST from the administrator's host.
func (c *Cluster) API(ctx context.Context, method, path string, in io.Reader, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://198.18.1.10:8080"+path, in)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		ap, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return c.Admin.Dial(ctx, network, ap)
	}}
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
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
