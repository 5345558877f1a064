package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/tun/netstack"

	"github.com/warrenedge/warren/shared/wgkey"
	"github.com/warrenedge/warren/test/lab"
)

// What the stock pair has.
const (
	stockPort = 51821
	stockMTU  = 1420
)

var stockFar, stockNear = netip.MustParseAddr("10.98.0.1"), netip.MustParseAddr("10.98.0.2")

// startStock makes a pair of WireGuard's own devices in this process: at the first site the one on its TCP stack in user
// space, as connectors of other tunnels have it, at the other end an interface of the system.
func (b *bench) startStock() error {
	server, client := b.Lab.Host("stock", "198.18.6.4"), b.Sites[0].Net.Host("s1-stock", "10.77.1.21")
	var keys [2]wgkey.Private
	for i := range keys {
		var err error
		if keys[i], err = wgkey.New(); err != nil {
			return err
		}
	}
	link, stack, err := netstack.CreateNetTUN([]netip.Addr{stockNear}, nil, stockMTU)
	if err != nil {
		return fmt.Errorf("stock netstack: %w", err)
	}
	var system tun.Device
	err = server.In(func() (err error) {
		system, err = tun.CreateTUN("wg0", stockMTU)
		return err
	})
	if err != nil {
		return errors.Join(fmt.Errorf("stock interface: %w", err), link.Close())
	}
	for _, end := range []struct {
		host *lab.Host
		dev  tun.Device
		own  wgkey.Private
		peer string
	}{
		{server, system, keys[0], fmt.Sprintf("listen_port=%d\npublic_key=%s\nallowed_ip=%s/32\n", stockPort, keys[1].Public().Hex(), stockNear)},
		{client, link, keys[1], fmt.Sprintf("public_key=%s\nallowed_ip=%s/32\nendpoint=%s:%d\npersistent_keepalive_interval=5\n", keys[0].Public().Hex(), stockFar, server.Addr, stockPort)},
	} {
		// Both live until the process ends: the stack panics when it is closed with packets on their way.
		d := device.NewDevice(end.dev, conn.NewDefaultBind(), &device.Logger{Verbosef: device.DiscardLogf, Errorf: device.DiscardLogf})
		err := end.host.In(func() error {
			return errors.Join(d.IpcSet("private_key="+end.own.RevealHex()+"\n"+end.peer), d.Up())
		})
		if err != nil {
			return fmt.Errorf("stock device at %s: %w", end.host.Name, err)
		}
	}
	server.Run("ip", "addr", "add", stockFar.String()+"/24", "dev", "wg0")
	server.Run("ip", "link", "set", "wg0", "up")
	listeners := map[int]net.Listener{}
	for _, port := range []int{rawPort, webPort, appPort} {
		if listeners[port], err = stack.ListenTCP(&net.TCPAddr{Port: port}); err != nil {
			return fmt.Errorf("stock netstack: listen on port %d: %w", port, err)
		}
	}
	b.serve(func(port int) net.Listener { return listeners[port] })
	b.paths[stock] = path{from: server, at: map[int]endpoint{rawPort: {stockNear, rawPort, "stock"}, webPort: {stockNear, webPort, "stock"}}}
	return nil
}
