//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// stockPeer is a WireGuard device with nothing of ours in it, behind the translator of addresses of a network.
type stockPeer struct {
	c    *suite
	host *lab.Host
	addr netip.Addr // in the tunnels
	file string
	proc *lab.Process
}

// startPeer starts a device with the configuration that is printed for a site, which it gives its first key.
func startPeer(c *suite, site string, args ...string) *stockPeer {
	c.t.Helper()
	program := filepath.Join(c.t.TempDir(), "wgpeer")
	if out, err := exec.Command("go", "build", "-o", program, "../lab/cmd/wgpeer").CombinedOutput(); err != nil {
		c.t.Fatalf("%v\n%s", err, out)
	}
	p := &stockPeer{c: c, file: filepath.Join(c.Dir, site+".conf")}
	c.must(c.Lab.Try(func() error {
		p.host = c.Sites[0].Net.Host(site, "10.77.1.20")
		return nil
	}))
	c.warren(append([]string{"site", "wireguard", site, "--rotate", "--yes", "--file", p.file, "--wait"}, args...)...)
	var view struct{ Address string }
	c.json(&view, "get", "site", site)
	p.addr = netip.MustParseAddr(view.Address)
	c.must(c.Lab.Try(func() error {
		p.proc = p.host.Start(site, nil, program, p.file)
		return nil
	}))
	c.until("the device is up", func() error { return p.ups(1) })
	return p
}

// ups waits until the device has taken so many configurations.
func (p *stockPeer) ups(n int) error {
	if got := strings.Count(p.proc.Tail(10000), "configuration taken"); got < n {
		return fmt.Errorf("%d configurations taken, want %d", got, n)
	}
	return nil
}

// take gives the device another configuration.
func (p *stockPeer) take(text string) {
	p.c.t.Helper()
	p.c.must(os.WriteFile(p.file, []byte(text), 0o600))
	before := strings.Count(p.proc.Tail(10000), "configuration taken")
	p.c.must(syscall.Kill(p.proc.PID(), syscall.SIGHUP))
	p.c.until("the device takes its configuration", func() error { return p.ups(before + 1) })
}

// serve runs an HTTP server and a UDP one that answers in capitals, at the device's own address.
func (p *stockPeer) serve(port int) {
	p.c.t.Helper()
	at := netip.AddrPortFrom(p.addr, uint16(port))
	p.c.must(p.host.In(func() error {
		ln, err := net.Listen("tcp", at.String())
		if err != nil {
			return err
		}
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return err
		}
		srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(w).Encode(cluster.Reply{Name: "device"})
		})}
		go func() { _ = srv.Serve(ln) }()
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := udp.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				_, _ = udp.WriteToUDPAddrPort([]byte(strings.ToUpper(string(buf[:n]))), from)
			}
		}()
		p.c.t.Cleanup(func() { _ = srv.Close(); _ = udp.Close() })
		return nil
	}))
}

// withoutAddress is YAML for services whose target is a wireguard site.
func withoutAddress(yaml, site string) string {
	return strings.ReplaceAll(yaml, "site: "+site+", address: -,", "site: "+site+",")
}

// servedBy checks that a node answers for the service by name.
func (c *suite) servedBy(n *cluster.Node) {
	c.t.Helper()
	c.until(n.Name+" answers", func() error {
		r, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
		if err == nil && r.Name != "device" {
			err = fmt.Errorf("%+v", r)
		}
		return err
	})
}

// holders are the nodes to which a site's device has a tunnel that is up.
func (c *suite) holders(site string) (up []string, err error) {
	var view struct{ ID string }
	if err := c.JSON(&view, "get", "site", site); err != nil {
		return nil, err
	}
	var st struct {
		Nodes []struct {
			Name    string `json:"name"`
			Tunnels []struct {
				Peer string `json:"peer"`
				Up   bool   `json:"up"`

				RoundTrip float64 `json:"round_trip_ms"`
			} `json:"tunnel_states"`
		} `json:"nodes"`
	}
	if err := c.JSON(&st, "status"); err != nil {
		return nil, err
	}
	for _, n := range st.Nodes {
		for _, tn := range n.Tunnels {
			if tn.Peer == view.ID && tn.Up && tn.RoundTrip > 0 { // it answers echoes, which go by an interface of the system
				up = append(up, n.Name)
			}
		}
	}
	return up, nil
}

func (c *suite) node(name string) *cluster.Node {
	c.t.Helper()
	for _, n := range c.Nodes {
		if n.Name == name {
			return n
		}
	}
	c.t.Fatalf("no node %s", name)
	return nil
}

// A stock WireGuard device, configured with what is printed for it, is a site: its services are reached over TCP and
// UDP through every node, those without a tunnel to it as well. When a node dies that has one, nothing has to be done
// at the device.
func TestWireGuardSiteIsServedByAllNodes(t *testing.T) {
	c := newCluster(t)
	c.warren("create", "site", "router", "--kind", "wireguard", "--pool", "default", "--tunnels", "2", "--wait")
	p := startPeer(c, "router")
	p.serve(8080)
	c.apply(withoutAddress(cluster.Service("app", "http", app, "router", "-", 8080)+"---\n"+
		raw("raw", "tcp", "5432", "router", "-", 8080)+"---\n"+raw("echo", "udp", "9000", "router", "-", 8080), "router"), "--wait")
	var with []string
	c.until("two tunnels are up", func() (err error) {
		if with, err = c.holders("router"); err == nil && len(with) != 2 {
			err = fmt.Errorf("tunnels to %v", with)
		}
		return err
	})
	for _, n := range c.Nodes {
		c.servedBy(n)
		if r := c.answered("http://"+app+":5432/", "--resolve", app+":5432:"+n.Host.Addr.String()); r.Name != "device" {
			t.Errorf("%s, port: %+v", n.Name, r)
		}
		conn, err := c.Client.Dial(t.Context(), "udp", netip.AddrPortFrom(n.Host.Addr, 9000))
		c.must(err)
		c.until("a datagram is answered through "+n.Name, func() error {
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
			if _, err := conn.Write([]byte("hello")); err != nil {
				return err
			}
			buf := make([]byte, 16)
			got, err := conn.Read(buf)
			if err == nil && string(buf[:got]) != "HELLO" {
				err = fmt.Errorf("answer %q", buf[:got])
			}
			return err
		})
		large := strings.Repeat("fragments ", 300) // larger than what a packet carries in the tunnel, or outside
		c.until("a large one is as well", func() error {
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
			if _, err := conn.Write([]byte(large)); err != nil {
				return err
			}
			buf := make([]byte, 1<<16)
			got, err := conn.Read(buf)
			if err == nil && string(buf[:got]) != strings.ToUpper(large) {
				err = fmt.Errorf("%d bytes", got)
			}
			return err
		})
		_ = conn.Close()
	}
	c.node(with[0]).Proc.Kill()
	for _, n := range c.Nodes {
		if n.Name != with[0] {
			c.servedBy(n)
		}
	}
}

// A device that can have one tunnel has it to one node; when that dies it is given the configuration for another, and
// is served again. Its address stays.
func TestWireGuardSiteMovesToAnotherNode(t *testing.T) {
	c := newCluster(t)
	c.warren("create", "site", "router", "--kind", "wireguard", "--pool", "default", "--wait")
	p := startPeer(c, "router", "--node", "n1")
	p.serve(8080)
	c.apply(withoutAddress(cluster.Service("app", "http", app, "router", "-", 8080), "router"), "--wait")
	for _, n := range c.Nodes {
		c.servedBy(n)
	}
	c.until("one tunnel is up", func() error {
		if up, err := c.holders("router"); err != nil || len(up) != 1 || up[0] != "n1" {
			return fmt.Errorf("tunnels to %v, %v", up, err)
		}
		return nil
	})
	c.Nodes[0].Proc.Kill()
	old, err := os.ReadFile(p.file)
	c.must(err)
	var key string
	for l := range strings.Lines(string(old)) {
		if strings.HasPrefix(l, "PrivateKey = ") {
			key = l
		}
	}
	var text strings.Builder // what is printed now has a remark where the key, which nobody but the device knows, belongs
	for l := range strings.Lines(c.warren("site", "wireguard", "router", "--node", "n2")) {
		if strings.HasPrefix(l, "# PrivateKey") {
			l = key
		}
		text.WriteString(l)
	}
	p.take(text.String())
	for _, n := range c.Nodes[1:] {
		c.servedBy(n)
	}

	// It does not notice that its node has restarted, and is called by it.
	n2 := c.Nodes[1]
	n2.Proc.Kill()
	c.restart(n2.Proc)
	c.servedBy(c.Nodes[2])

	// The old key is good no more when there is another.
	c.warren("site", "wireguard", "router", "--rotate", "--yes", "--node", "n2", "--file", p.file+".new", "--wait")
	c.until("nobody answers", func() error {
		if r, err := c.Curl("https://"+app+"/", cluster.At(c.Nodes[1], app)...); err == nil {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	next, err := os.ReadFile(p.file + ".new")
	c.must(err)
	p.take(string(next))
	c.servedBy(c.Nodes[2])
}

// A device that wants more than it is for reaches nothing: no socket of the node, no other site, no control plane.
func TestWireGuardSiteReachesNothing(t *testing.T) {
	c := newCluster(t)
	n1 := c.Nodes[0]
	c.warren("create", "site", "router", "--kind", "wireguard", "--pool", "default", "--wait")
	p := startPeer(c, "router", "--node", "n1")
	p.serve(8080)
	c.apply(withoutAddress(cluster.Service("app", "http", app, "router", "-", 8080), "router"), "--wait")
	c.servedBy(n1)
	var cfg struct {
		Nodes []struct{ Address string }
	}
	c.json(&cfg, "site", "wireguard", "router", "--node", "n1")
	var connectors []struct{ ID string }
	c.json(&connectors, "get", "connectors")
	node := netip.MustParseAddr(cfg.Nodes[0].Address)

	// Sockets that would take what comes, and a guard that counts what gets so far.
	var tcp, udp int
	c.must(n1.Host.In(func() error {
		ln, err := net.Listen("tcp", "[::]:8081")
		if err != nil {
			return err
		}
		pc, err := net.ListenPacket("udp", "[::]:8082")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = ln.Close(); _ = pc.Close() })
		tcp, udp = 8081, 8082
		return nil
	}))
	n1.Host.Run("sh", "-ec", `nft add table inet guard
nft 'add chain inet guard in { type filter hook input priority 0; }'
nft 'add chain inet guard passing { type filter hook forward priority 0; }'
nft 'add rule inet guard in iifname "warren0" ip6 saddr `+p.addr.String()+` tcp flags & (syn|ack) == syn counter'
nft 'add rule inet guard in iifname "warren0" ip6 saddr `+p.addr.String()+` meta l4proto udp counter'
nft 'add rule inet guard in iifname "warren0" ip6 saddr `+p.addr.String()+` meta l4proto icmpv6 counter'
nft 'add rule inet guard in iifname "warren0" ip6 saddr != fd57:6172:7265::/48 counter'
nft 'add rule inet guard in iifname "warren0" meta nfproto ipv4 counter'
nft 'add rule inet guard passing iifname "warren0" counter'
nft 'add rule inet guard in iifname "warren0" ip6 saddr `+p.addr.String()+` tcp flags & ack == ack counter comment "answers"'`)
	text, err := os.ReadFile(p.file)
	c.must(err)
	// Not what it was given: all addresses of the tunnels, and the control plane's.
	p.take(strings.ReplaceAll(string(text), "AllowedIPs = "+node.String()+"/128", "AllowedIPs = fd57:6172:7265::/48, 198.18.1.0/24"))
	p.host.Run("ip", "addr", "add", "10.99.0.1/32", "dev", "wg0")
	c.servedBy(n1)
	tries := []string{
		fmt.Sprintf("[%s]:%d", node, tcp), fmt.Sprintf("[%s]:7101", node), fmt.Sprintf("[%s]:443", node),
		"[fd57:6172:7265:2::1]:7100", "[fd57:6172:7265:1::1]:7101", "198.18.1.10:8080", "198.18.1.10:8443",
	}
	for _, to := range tries {
		if out, err := p.host.Command("curl", "-sS", "--max-time", "2", "http://"+to+"/").CombinedOutput(); err == nil {
			t.Errorf("%s answers: %s", to, out)
		}
	}
	for _, to := range []string{fmt.Sprintf("[%s]:%d", node, udp), fmt.Sprintf("[%s]:7102", node), fmt.Sprintf("[%s]:53", node)} {
		conn, err := p.host.Dial(t.Context(), "udp", netip.MustParseAddrPort(to))
		c.must(err)
		for _, size := range []int{9, 9, 3000} { // the last one in fragments
			_, _ = conn.Write(make([]byte, size))
		}
		_ = conn.Close()
	}
	c.servedBy(n1) // its answers do come in, after all of that
	metrics := n1.Host.Run("curl", "-sSf", "http://127.0.0.1:9090/metrics")
	// Its packets did come as far as the filter; those of IPv4 are from nobody whom WireGuard knows.
	for _, reason := range []string{"port", "protocol", "address"} {
		if name := `node_tunnel_dropped_packets_total{reason="` + reason + `"} `; !strings.Contains(metrics, name) || strings.Contains(metrics, name+"0\n") {
			t.Errorf("none dropped because of its %s", reason)
		}
	}
	conn, err := n1.Host.Dial(t.Context(), "tcp", netip.AddrPortFrom(node, uint16(tcp))) // who may reaches the socket
	c.must(err)
	_ = conn.Close()
	rules := n1.Host.Run("nft", "list", "table", "inet", "guard")
	seen := 0
	for l := range strings.Lines(rules) {
		if !strings.Contains(l, "counter packets ") {
			continue
		}
		seen++
		if strings.Contains(l, `"answers"`) == strings.Contains(l, "counter packets 0 ") {
			t.Errorf("came in: %s", strings.TrimSpace(l))
		}
	}
	if seen != 7 {
		t.Errorf("%d counters:\n%s", seen, rules)
	}
}
