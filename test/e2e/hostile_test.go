//go:build e2e

package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/wgkey"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// mark is a port that nothing else in the lab uses: what has it was sent by the hostile connector.
const mark = 6666

// hostile is a connector that has a connector's key, and nothing of its program.
type hostile struct {
	wg      *device.Device
	overlay netip.Addr
	node    netip.Addr // its, in the overlay
	out, in chan []byte
	done    chan struct{}
	once    sync.Once
	events  chan tun.Event
	asked   uint32 // heartbeats
}

func (h *hostile) File() *os.File           { return nil }
func (h *hostile) MTU() (int, error)        { return 1420, nil }
func (h *hostile) Name() (string, error)    { return "hostile", nil }
func (h *hostile) Events() <-chan tun.Event { return h.events }
func (h *hostile) BatchSize() int           { return 1 }
func (h *hostile) Close() error {
	h.once.Do(func() { close(h.done); close(h.events) })
	return nil
}

func (h *hostile) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case p := <-h.out:
		sizes[0] = copy(bufs[0][offset:], p)
		return 1, nil
	case <-h.done:
		return 0, os.ErrClosed
	}
}

func (h *hostile) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		select {
		case h.in <- append([]byte(nil), b[offset:]...):
		default:
		}
	}
	return len(bufs), nil
}

// tunnelUp is what a node's log says of its own end.
var tunnelUp = regexp.MustCompile(`tunnel up .*addr=(\S+) .*key=(\S+)`)

// takeOver ends a site's connector and gives its key to a device that sends whatever it is given to a node.
func (c *suite) takeOver(s *cluster.Site, n *cluster.Node) *hostile {
	c.t.Helper()
	s.Proc.Kill()
	dir := filepath.Join(c.Dir, s.Name)
	raw, err := os.ReadFile(filepath.Join(dir, "wireguard.key"))
	c.must(err)
	var about struct {
		Overlay netip.Addr `json:"overlay_address"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "id.json"))
	c.must(err)
	c.must(json.Unmarshal(b, &about))
	m := tunnelUp.FindStringSubmatch(n.Proc.Log())
	if m == nil {
		c.t.Fatalf("%s does not say its key", n.Name)
	}
	nodeKey, err := wgkey.ParsePublic(strings.Trim(m[2], `"`))
	c.must(err)
	h := &hostile{overlay: about.Overlay, node: netip.MustParseAddr(m[1]), out: make(chan []byte, 64), in: make(chan []byte, 64), done: make(chan struct{}), events: make(chan tun.Event)}
	h.wg = device.NewDevice(h, conn.NewDefaultBind(), &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})
	c.t.Cleanup(h.wg.Close)
	c.must(s.Connector.In(func() error {
		if err := h.wg.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nendpoint=%s:51820\nallowed_ip=::/0\nallowed_ip=0.0.0.0/0\n", hex.EncodeToString(raw), nodeKey.Hex(), n.Host.Addr)); err != nil {
			return err
		}
		return h.wg.Up()
	}))
	return h
}

// packet is TCP or UDP, or an echo request, of either family.
func packet(from, to netip.Addr, proto byte, sport, dport uint16) []byte {
	var l4 []byte
	switch proto {
	case 6: // SYN
		l4 = make([]byte, 20)
		l4[12], l4[13] = 5<<4, 2
		binary.BigEndian.PutUint16(l4[14:], 0xffff)
	case 17:
		l4 = make([]byte, 8+24)
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	default:
		l4 = make([]byte, 16)
		l4[0] = map[bool]byte{true: 8, false: 128}[to.Is4()]
	}
	if proto == 6 || proto == 17 {
		binary.BigEndian.PutUint16(l4, sport)
		binary.BigEndian.PutUint16(l4[2:], dport)
	}
	src, dst := from.AsSlice(), to.AsSlice()
	sum := uint32(proto) + uint32(len(l4))
	var head []byte
	if to.Is4() {
		head = make([]byte, 20)
		head[0], head[8], head[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(l4)))
		copy(head[12:], src)
		copy(head[16:], dst)
		binary.BigEndian.PutUint16(head[10:], fold(add(0, head)))
	} else {
		head = make([]byte, 40)
		head[0], head[6], head[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(head[4:], uint16(len(l4)))
		copy(head[8:], src)
		copy(head[24:], dst)
	}
	at := map[byte]int{6: 16, 17: 6}[proto]
	if at == 0 {
		at = 2
	}
	if proto == 1 {
		sum = 0
	} else {
		sum = add(add(sum, src), dst)
	}
	binary.BigEndian.PutUint16(l4[at:], fold(add(sum, l4)))
	return append(head, l4...)
}

func add(sum uint32, b []byte) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// beat asks the node by a heartbeat and waits for the answer: what was sent before it has arrived.
func (h *hostile) beat(t *testing.T) {
	t.Helper()
	before := h.asked // an answer to one of those says nothing
	lab.Eventually(t, patience, "the node answers a heartbeat", func() error {
		h.asked++
		p := packet(h.overlay, h.node, 17, fabric.HeartbeatPort, fabric.HeartbeatPort)
		p[48], p[49], p[55] = 1, 1, 9 // version, question, epoch
		binary.BigEndian.PutUint32(p[56:], h.asked)
		binary.BigEndian.PutUint16(p[46:], 0)
		sum := add(add(17+32, p[8:40]), p[40:])
		binary.BigEndian.PutUint16(p[46:], fold(sum))
		h.out <- p
		deadline := time.After(500 * time.Millisecond)
		for {
			select {
			case in := <-h.in:
				if len(in) >= 72 && in[6] == 17 && in[49] == 2 && binary.BigEndian.Uint32(in[64:]) > before {
					return nil
				}
			case <-deadline:
				return errors.New("no answer")
			}
		}
	})
}

// count puts counters into a host's namespace: of what is marked, wherever it is seen, and of what comes from the
// hostile connector by the tunnel's interface and is no heartbeat.
func (c *suite) count(h *lab.Host, from netip.Addr) {
	c.t.Helper()
	rules := "table inet hostile {\n\tcounter marked {}\n\tcounter inside {}\n\tcounter beats {}\n"
	for _, hook := range []string{"prerouting", "output", "postrouting"} {
		rules += fmt.Sprintf("\tchain %[1]s {\n\t\ttype filter hook %[1]s priority -300\n\t\tth sport %[2]d counter name marked\n\t\tth dport %[2]d counter name marked\n", hook, mark)
		if hook == "prerouting" {
			rules += fmt.Sprintf("\t\tip6 saddr %[1]s udp dport %[2]d counter name beats\n\t\tip6 saddr %[1]s udp dport != %[2]d counter name inside\n\t\tip6 saddr %[1]s meta l4proto != udp counter name inside\n", from, fabric.HeartbeatPort)
		}
		rules += "\t}\n"
	}
	file := c.write("counters.nft", rules+"}\n")
	h.Run("nft", "-f", file)
}

func (c *suite) counted(h *lab.Host, name string) (n int) {
	c.t.Helper()
	out := h.Run("nft", "list", "counter", "inet", "hostile", name)
	_, rest, _ := strings.Cut(out, "packets ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		c.t.Fatalf("%v in %q", err, out)
	}
	return n
}

// A connector sends whatever it likes into its tunnel: nothing but heartbeats arrives anywhere.
func TestT17_HostileConnectorReachesNothing(t *testing.T) {
	cl, err := cluster.Start(t.Context(), lab.New(t), cluster.Config{Bin: "../../bin", Patience: patience, Nodes: 2, Tunnels: []string{"tun", "netstack"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &suite{cl, t}
	web := "10.77.2.10"
	c.web(c.Sites[1], "web", web, 8080)
	webHost := c.Lab.Find("s2-web")
	dropped := func(n *cluster.Node) (sum float64) {
		for _, reason := range []string{"version", "malformed", "protocol", "source", "address", "port"} {
			v, err := c.metric(n, `node_tunnel_dropped_packets_total{reason="`+reason+`"}`)
			c.must(err)
			sum += v
		}
		return sum
	}
	for i, n := range c.Nodes {
		h := c.takeOver(c.Sites[0], n)
		if i == 0 {
			for _, host := range append(c.Lab.Hosts(), c.Sites[1].Net.Router) {
				if host.Command("nft", "list", "table", "inet", "hostile").Run() != nil {
					c.count(host, h.overlay)
				}
			}
		}
		h.beat(t)
		before, beats := dropped(n), c.counted(n.Host, "beats")
		other := tunnelUp.FindStringSubmatch(c.Nodes[1-i].Proc.Log())
		var s2 struct {
			Overlay netip.Addr `json:"overlay_address"`
		}
		b, err := os.ReadFile(filepath.Join(c.Dir, "s2", "id.json"))
		c.must(err)
		c.must(json.Unmarshal(b, &s2))
		addr := netip.MustParseAddr
		sent := 0
		for _, to := range []netip.Addr{h.node, addr(other[1]), s2.Overlay, addr("::1"), addr("::ffff:127.0.0.1"), addr("ff02::1"), addr("fe80::1")} {
			for _, port := range []uint16{mark, 22, 53, 443, 8080, 8443, 9090, fabric.RelayPort, fabric.ConnectorPort} {
				for _, proto := range []byte{6, 17, 58} {
					h.out <- packet(h.overlay, to, proto, mark, port)
					sent++
				}
			}
		}
		// What pretends to be from others WireGuard refuses by itself; IPv4 has no place in the tunnel.
		forged := []netip.Addr{addr("::1"), s2.Overlay, addr(other[1]), h.node}
		for _, from := range forged {
			h.out <- packet(from, h.node, 6, mark, fabric.RelayPort)
			h.out <- packet(from, s2.Overlay, 17, mark, fabric.HeartbeatPort)
		}
		for _, to := range []netip.Addr{addr("127.0.0.1"), addr("198.18.1.1"), addr("198.18.1.20"), n.Host.Addr, c.Nodes[1-i].Host.Addr, addr(web), addr("10.77.2.2")} {
			for _, port := range []uint16{mark, 5432, 8080, 8443, 9090, 443} {
				for _, proto := range []byte{6, 17, 1} {
					h.out <- packet(addr("10.77.1.2"), to, proto, mark, port)
					h.out <- packet(addr("127.0.0.1"), to, proto, mark, port)
				}
			}
		}
		h.beat(t)
		if n := dropped(n) - before; n < float64(sent) {
			t.Errorf("%s: %v packets were refused, %d were sent: the test sends nothing", c.Nodes[i].Name, n, sent)
		}
		for _, host := range c.Lab.Hosts() {
			if n := c.counted(host, "marked"); n != 0 {
				t.Errorf("%d packets of the hostile connector at %s were seen on %s", n, c.Nodes[i].Name, host.Name)
			}
			if n := c.counted(host, "inside"); n != 0 && c.Nodes[i].Host != host {
				t.Errorf("%d packets from inside the tunnel to %s were seen on %s", n, c.Nodes[i].Name, host.Name)
			}
		}
		if n := c.counted(n.Host, "inside"); n != 0 {
			t.Errorf("%d packets from the tunnel passed the filter of %s", n, c.Nodes[i].Name)
		}
		if more := c.counted(n.Host, "beats") - beats; i == 0 && more == 0 {
			t.Error("heartbeats were not counted: the counters count nothing")
		}
		h.wg.Close()
	}
	// And the counters do count.
	for _, to := range []*lab.Host{c.Nodes[0].Host, c.Nodes[1].Host, c.Lab.Find("control1"), c.Lab.Find("db")} {
		c.must(c.Client.In(func() error {
			conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.Addr, mark)))
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = conn.Write([]byte("x"))
			return err
		}))
		c.until("a marked packet is counted on "+to.Name, func() error {
			if c.counted(to, "marked") == 0 {
				return errors.New("none")
			}
			return nil
		})
	}
	if c.counted(webHost, "marked") != 0 {
		t.Error("counted where nothing was sent")
	}
}
