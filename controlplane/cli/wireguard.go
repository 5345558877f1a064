package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/peerconfig"
	"github.com/warrenedge/warren/shared/atomicfile"
)

// wireGuard are the flags of "site wireguard".
type wireGuard struct {
	waiting
	rotate, qr, yes      bool
	publicKey, node, out string
}

func (a *app) wireGuardCommand() *cobra.Command {
	var f wireGuard
	cmd := &cobra.Command{
		Use: "wireguard SITE", Short: "Print the configuration for the WireGuard device of a wireguard site, or give it another key", Args: cobra.ExactArgs(1),
		Long: "Print what the device of a wireguard site is configured with: a router, a phone, wg-quick. It has a tunnel to several nodes, all\n" +
			"up at once: when one of them ends, nothing has to be done at the device. One that can have a single tunnel is given that to\n" +
			"one node, with --node; when that node ends, give it the configuration for another.\n\n" +
			"--rotate makes another key, and the first one. The private key is in the configuration that is printed then, and nowhere\n" +
			"else: it is not shown again. The old key is good no more. --public-key takes the public key of a pair that the device has made\n" +
			"itself; the private one is then for you to put in. Without either of the two nothing is changed.",
		Example: "  warren create site router --kind wireguard --pool default\n" +
			"  warren site wireguard router --rotate --file wg0.conf\n" +
			"  warren site wireguard phone --rotate --qr\n" +
			"  warren site wireguard router --node n2",
		RunE: func(cmd *cobra.Command, args []string) error { return a.wireGuard(cmd, args[0], f) },
	}
	cmd.Flags().BoolVar(&f.rotate, "rotate", false, "make a key pair, the first one or another")
	cmd.Flags().StringVar(&f.publicKey, "public-key", "", "take this public `key`, in base64, instead of making a pair")
	cmd.Flags().StringVar(&f.node, "node", "", "only the tunnel to this `node`")
	cmd.Flags().BoolVar(&f.qr, "qr", false, "print a QR code for the apps of WireGuard; with --file, an image (PNG)")
	cmd.Flags().StringVar(&f.out, "file", "", "write to this `file` (mode 0600) instead of standard output")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask before a key is replaced")
	f.flags(cmd)
	return cmd
}

func (a *app) wireGuard(cmd *cobra.Command, site string, f wireGuard) error {
	switch {
	case f.rotate && f.publicKey != "":
		return usagef("--rotate makes a pair, --public-key takes one: give one of them")
	case f.qr && !f.rotate:
		return usagef("the apps of WireGuard take no QR code without a private key, which is known only when it is made: give --rotate")
	case f.qr && a.structured():
		return usagef("-o %s has the QR code in it, in qr_png: leave out --qr", a.output)
	}
	if err := writable(f.out); err != nil { // found out before the old key is gone
		return fmt.Errorf("configuration: %w", err)
	}
	s, err := a.connect()
	if err != nil {
		return err
	}
	var c typed.WireGuard
	var done apiclient.Written
	if f.rotate || f.publicKey != "" {
		if err := a.askRotation(cmd.Context(), s, site, f.yes); err != nil {
			return err
		}
	}
	if f.rotate || f.publicKey != "" {
		c, done, err = s.api.RotateSiteWireguard(cmd.Context(), s.org, site, typed.RotateSiteWireguardParams{Node: f.node}, typed.WireGuardKeySpec{PublicKey: f.publicKey})
	} else {
		c, done, err = s.api.GetSiteWireguard(cmd.Context(), s.org, site, typed.GetSiteWireguardParams{Node: f.node})
	}
	if err != nil {
		return err
	}
	if err := a.showWireGuard(c, f); err != nil {
		return err
	}
	return f.after(a, cmd, s, done.Revision)
}

// askRotation asks a person before the key that a device has is good no more.
func (a *app) askRotation(ctx context.Context, s *session, site string, yes bool) error {
	if yes {
		return nil
	}
	is, _, err := s.api.GetSite(ctx, s.org, site)
	if err != nil || is.WireguardPublicKey == "" {
		return err
	}
	return a.confirm(false, "Replace the key of site %s? Its device is cut off until it has the new one.", site)
}

// writable reports what would keep a file from being written, as far as that can be known; "" is none.
func writable(file string) error {
	if file == "" {
		return nil
	}
	if fi, err := os.Lstat(file); err == nil && !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", file)
	}
	try, err := os.CreateTemp(filepath.Dir(file), ".warren-*")
	if err != nil {
		return err
	}
	_ = try.Close()
	return os.Remove(try.Name())
}

func (a *app) showWireGuard(c typed.WireGuard, f wireGuard) error {
	if c.PrivateKey != "" {
		a.say("The private key is shown this once.")
	}
	if f.out != "" {
		b := []byte(c.Configuration)
		if f.qr {
			b = c.QrPng
		}
		if err := atomicfile.Write(f.out, b); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		a.say("written to %s", f.out)
		return nil
	}
	if a.structured() {
		return a.print(c)
	}
	text := c.Configuration
	if f.qr {
		var err error
		if text, err = peerconfig.Terminal(text); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(a.out, strings.TrimRight(text, "\n")+"\n")
	return err
}
