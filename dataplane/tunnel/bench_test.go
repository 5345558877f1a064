package tunnel

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	stock "golang.zx2c4.com/wireguard/tun/netstack"

	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/wgkey"
)

// stockNet is the network of WireGuard's own userspace stack.
type stockNet struct{ *stock.Net }

func (n stockNet) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return n.DialContextTCPAddrPort(ctx, to)
}

func (n stockNet) listen(_ context.Context, port uint16) (net.Listener, error) {
	return n.ListenTCP(&net.TCPAddr{Port: int(port)})
}

func (n stockNet) listenPacket(_ context.Context, port uint16) (net.PacketConn, error) {
	return n.ListenUDP(&net.UDPAddr{Port: int(port)})
}

func (n stockNet) route([]netip.Addr) error { return nil }

func openStock(self netip.Addr) (tun.Device, network, error) {
	dev, n, err := stock.CreateNetTUN([]netip.Addr{self}, nil, mtu)
	return dev, stockNet{n}, err
}

func openOurs(self netip.Addr) (tun.Device, network, error) {
	dev, err := openNetstack(self)
	return dev, dev, err
}

// wired makes two ends with the same kind of device and WireGuard over loopback between them.
func wired(b *testing.B, open func(netip.Addr) (tun.Device, network, error)) (node, connector network) {
	b.Helper()
	addrs := [2]netip.Addr{us, theirConn}
	var keys [2]wgkey.Private
	var devs [2]*device.Device
	var nets [2]network
	var ports [2]uint16
	for i, addr := range addrs {
		dev, n, err := open(addr)
		if err != nil {
			b.Fatal(err)
		}
		if keys[i], err = wgkey.New(); err != nil {
			b.Fatal(err)
		}
		nets[i], devs[i] = n, device.NewDevice(dev, conn.NewDefaultBind(), &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})
		b.Cleanup(func() {
			if _, ours := n.(*netstackDevice); !ours {
				time.Sleep(time.Second) // the other panics when it is closed with packets on their way
			}
			devs[i].Close()
		})
		if err := devs[i].IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=0\n", keys[i].RevealHex())); err != nil {
			b.Fatal(err)
		}
		if err := devs[i].Up(); err != nil {
			b.Fatal(err)
		}
		r := stateReader{each: func(wgkey.Public, PeerState) {}}
		if err := devs[i].IpcGetOperation(&r); err != nil {
			b.Fatal(err)
		}
		ports[i] = r.port
	}
	for i := range devs {
		other := 1 - i
		err := devs[i].IpcSet(fmt.Sprintf("public_key=%s\nallowed_ip=%s\nendpoint=127.0.0.1:%d\n", keys[other].Public().Hex(), host(addrs[other]), ports[other]))
		if err != nil {
			b.Fatal(err)
		}
	}
	return nets[0], nets[1]
}

// BenchmarkNetstack is one stream in each direction through WireGuard over loopback, both ends in this
// process on TCP stacks of their own: ours, and the one that comes with WireGuard. "down" is the direction
// in which services send. CPU is that of both ends.
func BenchmarkNetstack(b *testing.B) {
	for _, d := range []struct {
		name string
		open func(netip.Addr) (tun.Device, network, error)
	}{{"warren", openOurs}, {"stock", openStock}} {
		for _, direction := range []string{"down", "up"} {
			b.Run(d.name+"-"+direction, func(b *testing.B) { benchStream(b, d.name, direction, d.open) })
		}
	}
}

func benchStream(b *testing.B, name, direction string, open func(netip.Addr) (tun.Device, network, error)) {
	node, connector := wired(b, open)
	ln, err := connector.listen(b.Context(), fabric.ConnectorPort)
	if err != nil {
		b.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			close(accepted)
			return
		}
		accepted <- c
	}()
	defer ln.Close()
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Second)
	defer cancel()
	near, err := node.dial(ctx, netip.AddrPortFrom(theirConn, fabric.ConnectorPort))
	if err != nil {
		b.Fatal(err)
	}
	defer near.Close()
	far, ok := <-accepted
	if !ok {
		b.Fatal("nobody was accepted")
	}
	defer far.Close()
	from, to := far, near
	if direction == "up" {
		from, to = near, far
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for buf := make([]byte, 64<<10); ; {
			if _, err := from.Write(buf); err != nil {
				return
			}
		}
	}()
	defer func() { _ = to.Close(); _ = from.Close(); <-sent }()

	const size = 1 << 20
	buf := make([]byte, 256<<10)
	read := func() {
		for left := size; left > 0; {
			n, err := to.Read(buf[:min(left, len(buf))])
			if err != nil && err != io.EOF {
				b.Fatal(err)
			}
			left -= n
		}
	}
	for range 32 { // until windows are open
		read()
	}
	b.SetBytes(size)
	start, cpu, n := time.Now(), cpuTime(b), 0
	for b.Loop() {
		read()
		n++
	}
	gigabytes := float64(n*size) / 1e9
	line, _ := json.Marshal(map[string]any{
		"bench": "netstack", "device": name, "direction": direction, "gigabytes": gigabytes,
		"gbit_per_s": 8 * gigabytes / time.Since(start).Seconds(), "cpu_s_per_gb": (cpuTime(b) - cpu).Seconds() / gigabytes,
	})
	fmt.Printf("%s\n", line)
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
