//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// A target behind a real WireGuard device is checked by the nodes that the device calls: it is shown with the reason for
// which it is not well, gets no request from any node meanwhile, and gets them again when it is. When the device is
// gone it is not well either.
func TestTargetOfAWireGuardSiteIsChecked(t *testing.T) {
	c := newCluster(t)
	c.warren("create", "site", "router", "--kind", "wireguard", "--pool", "default", "--tunnels", "2", "--wait")
	p := startPeer(c, "router")
	var device, other patient
	c.must(p.host.In(func() error {
		ln, err := net.Listen("tcp", netip.AddrPortFrom(p.addr, 8080).String())
		if err == nil {
			t.Cleanup(func() { _ = ln.Close() })
			device.serve(ln, "device")
		}
		return err
	}))
	other.listen(c, c.Sites[0].Net.Host("other", "10.77.1.10"), "other", 8080)
	c.apply(fmt.Sprintf("apiVersion: warren/v1\nkind: Service\nmetadata: {name: app}\nspec: {kind: http, hostname: %s, pool: default}\n", app)+
		strings.Replace(checkedTarget("app-device", "router", "-"), "  address: -\n", "", 1)+checkedTarget("app-other", "s1", "10.77.1.10"), "--wait")
	// ask sends some requests to each node, and says how many of them came to each.
	ask := func() (toDevice, toOther int64, err error) {
		x, y := device.requests.Load(), other.requests.Load()
		for _, n := range c.Nodes {
			for range 8 {
				if _, err := c.Curl("https://"+app+"/", cluster.At(n, app)...); err != nil {
					return 0, 0, fmt.Errorf("%s: %w", n.Name, err)
				}
			}
		}
		return device.requests.Load() - x, other.requests.Load() - y, nil
	}
	both := func(when string) {
		t.Helper()
		c.until(when+", requests go to both", func() error {
			x, y, err := ask()
			if err == nil && (x == 0 || y == 0) {
				err = fmt.Errorf("%d to the device, %d to the other", x, y)
			}
			return err
		})
	}
	none := func(when string) {
		t.Helper()
		c.until(when+", all requests are answered elsewhere", func() error {
			n, _, err := ask()
			if err == nil && n != 0 {
				err = fmt.Errorf("%d requests", n)
			}
			return err
		})
	}
	c.shownHealth("healthy", "app-device", "app-other")
	both("at first")

	device.ill.Store(true)
	c.shownHealth("unhealthy", "app-device")
	c.until("the reason is shown", func() error { // by the other replica as well, which hears of it a moment later
		if out, err := c.Warren("get", "targets"); err != nil || !strings.Contains(out, "status 503, expected 200") {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	none("while it says that it is not well")

	device.ill.Store(false)
	c.shownHealth("healthy", "app-device")
	both("after it has recovered")

	p.proc.Kill()
	c.shownHealth("unhealthy", "app-device")
	none("with the device gone")
	c.shownHealth("healthy", "app-other")
}
