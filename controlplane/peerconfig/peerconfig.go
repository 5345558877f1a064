// Package peerconfig writes what a stock WireGuard device is configured with, as text or as a QR code.
package peerconfig

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"

	"rsc.io/qr"

	"github.com/warrenedge/warren/shared/wgkey"
)

// Keepalive is what a device sends when it has nothing to say, in seconds. Translators of addresses forget a
// silent UDP flow after 30 s at the earliest (of those that matter): one keepalive may be lost before that, and two
// that are missing tell a node that the device is gone although it answers no echo.
const Keepalive = 15

// MTU is the least that IPv6 has, and what any path carries with WireGuard around it: nobody measures the path to a
// stock device.
const MTU = 1280

// Config is one device and its tunnels.
type Config struct {
	Site    string
	Public  wgkey.Public
	Private wgkey.Private // zero: not known, the device has it
	Address netip.Addr    // its own inside the tunnels
	Tunnels []Tunnel
}

// Tunnel is one to a node. The node's address is its own, so that all tunnels of a device can be up at once: no two
// have the same AllowedIPs.
type Tunnel struct {
	Node     string
	Key      wgkey.Public
	Endpoint string // address:port or name:port: a device looks a name up when it starts
	Address  netip.Addr
}

// RevealPrivate is the private key as WireGuard writes it.
func (c Config) RevealPrivate() string { return base64.StdEncoding.EncodeToString(c.Private.Reveal()) }

// Text is the configuration as wg-quick(8) and the apps of WireGuard read it.
func (c Config) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# site %s\n[Interface]\n", c.Site)
	switch {
	case !c.Private.IsZero():
		fmt.Fprintf(&b, "PrivateKey = %s\n", c.RevealPrivate())
	case !c.Public.IsZero():
		fmt.Fprintf(&b, "# PrivateKey = the one that belongs to public key %s\n", c.Public)
	default:
		b.WriteString("# PrivateKey = there is none yet\n")
	}
	fmt.Fprintf(&b, "Address = %s/%d\nMTU = %d\n", c.Address, c.Address.BitLen(), MTU)
	for _, t := range c.Tunnels {
		fmt.Fprintf(&b, "\n# node %s\n[Peer]\nPublicKey = %s\nEndpoint = %s\nAllowedIPs = %s/%d\nPersistentKeepalive = %d\n",
			t.Node, t.Key, t.Endpoint, t.Address, t.Address.BitLen(), Keepalive)
	}
	return b.String()
}

// PNG is a configuration as a QR code, an image.
func PNG(text string) ([]byte, error) {
	c, err := code(text)
	if err != nil {
		return nil, err
	}
	return c.PNG(), nil
}

// Terminal is a configuration as a QR code of characters, two modules above each other in one. It has colours of its
// own: a code that is light on dark is read by few cameras.
func Terminal(text string) (string, error) {
	c, err := code(text)
	if err != nil {
		return "", err
	}
	const quiet = 4 // modules around the code that are light, as its standard wants
	var b strings.Builder
	for y := -quiet; y < c.Size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m")
		for x := -quiet; x < c.Size+quiet; x++ {
			switch above, below := c.Black(x, y), c.Black(x, y+1); {
			case above && below:
				b.WriteRune('█')
			case above:
				b.WriteRune('▀')
			case below:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

// code leaves out what a device does not read, so that the modules are as large as they can be.
func code(text string) (*qr.Code, error) {
	var b strings.Builder
	for l := range strings.Lines(text) {
		if t := strings.TrimSpace(l); t != "" && t[0] != '#' {
			b.WriteString(t + "\n")
		}
	}
	c, err := qr.Encode(b.String(), qr.L)
	if err != nil {
		return nil, fmt.Errorf("QR code: %w", err)
	}
	return c, nil
}
