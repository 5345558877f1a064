// Command wgpeer is a stock WireGuard device: the reference implementation in a process, configured by a file as
// wg-quick(8) reads it. It has nothing of ours in it, so that what works with it works with others.
//
// It takes the file anew at SIGHUP, as "wg syncconf" does, and says so each time.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

const name = "wg0"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: wgpeer FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "wgpeer:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	again, end := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	link, err := tun.CreateTUN(name, 1280)
	if err != nil {
		return err
	}
	dev := device.NewDevice(link, conn.NewDefaultBind(), device.NewLogger(device.LogLevelVerbose, "wgpeer: "))
	defer dev.Close()
	for {
		if err := configure(dev, file); err != nil {
			return err
		}
		fmt.Println("configuration taken")
		select {
		case <-again:
		case <-end:
			return nil
		}
	}
}

// configure makes the device and the interface be as the file says.
func configure(dev *device.Device, file string) error {
	c, err := read(file)
	if err != nil {
		return err
	}
	if err := dev.IpcSet(c.device); err != nil {
		return err
	}
	if err := dev.Up(); err != nil {
		return err
	}
	commands := [][]string{{"link", "set", name, "mtu", c.mtu, "up"}}
	for _, a := range c.addresses {
		commands = append(commands, []string{"addr", "replace", a, "dev", name, "nodad"})
	}
	for _, r := range c.routes {
		commands = append(commands, []string{"route", "replace", r, "dev", name})
	}
	for _, args := range commands {
		if strings.Contains(strings.Join(args, " "), ".") { // IPv4 knows no duplicate address detection
			args = strings.Fields(strings.ReplaceAll(strings.Join(args, " "), " nodad", ""))
		}
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

type config struct {
	device            string // in WireGuard's configuration protocol
	mtu               string
	addresses, routes []string
}

// read makes a configuration of a file.
func read(file string) (c config, err error) {
	f, err := os.Open(file)
	if err != nil {
		return c, err
	}
	defer f.Close()
	var own, peers strings.Builder
	section := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if strings.HasPrefix(text, "[") {
			section = text
			continue
		}
		key, value, _ := strings.Cut(text, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch section + key {
		case "[Interface]PrivateKey":
			err = line(&own, "private_key", value)
		case "[Interface]Address":
			c.addresses = append(c.addresses, fields(value)...)
		case "[Interface]MTU":
			c.mtu = value
		case "[Peer]PublicKey":
			err = line(&peers, "public_key", value)
		case "[Peer]Endpoint":
			fmt.Fprintf(&peers, "endpoint=%s\n", value)
		case "[Peer]PersistentKeepalive":
			fmt.Fprintf(&peers, "persistent_keepalive_interval=%s\n", value)
		case "[Peer]AllowedIPs":
			for _, r := range fields(value) {
				fmt.Fprintf(&peers, "allowed_ip=%s\n", r)
				c.routes = append(c.routes, r)
			}
		default:
			err = fmt.Errorf("%q in %q", key, section)
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", file, err)
		}
	}
	c.device = own.String() + "replace_peers=true\n" + peers.String()
	return c, lines.Err()
}

func fields(value string) []string { return strings.Fields(strings.ReplaceAll(value, ",", " ")) }

// line writes a key as the configuration protocol has it.
func line(b *strings.Builder, name, key string) error {
	k, err := base64.StdEncoding.DecodeString(key)
	if err == nil && len(k) != device.NoisePublicKeySize {
		err = fmt.Errorf("a key of %d bytes", len(k))
	}
	fmt.Fprintf(b, "%s=%s\n", name, hex.EncodeToString(k))
	return err
}
