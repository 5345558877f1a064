//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/store"
)

// An operator replaces first the data key, then the key-encryption key, by the commands that the manual names, while nodes serve and
// certificates are ordered: no request fails, no order does, and in the end the old keys open nothing.
func TestKeysAreReplacedWhileNodesServe(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	c.must(c.StartAuthority(t.Context(), acmetest.Config{}))
	roots, rootPEM := c.pebbleRoots()
	c.shown(roots, app, domain, "*."+domain)
	stop := c.load(app, "--cacert", c.write("pebble.pem", rootPEM))

	old := c.sealedWith()
	renewals := c.renewals()
	said, err := c.ControlCommand("rotate-key")
	c.must(err)
	if n, err := renewals(); err != nil || n == 0 {
		t.Errorf("%d orders meanwhile: %v", n, err)
	}
	fresh := c.sealedWith()
	if len(old) != 1 || len(fresh) != 1 || old[0] == fresh[0] || !strings.Contains(said, "the old data key is gone") {
		t.Errorf("rows are sealed with %v, before with %v\n%s", fresh, old, said)
	}

	file := filepath.Join(c.Dir, "kek.json")
	next := filepath.Join(c.Dir, "next.json")
	if _, err = c.ControlCommand("new-kek", "--file", next); err == nil {
		_, err = c.ControlCommand("rotate-key", "--new-kek", next)
	}
	c.must(err)
	before, err := os.ReadFile(file)
	c.must(err)
	c.must(os.Rename(next, file))
	for _, p := range c.Control {
		renewals := c.renewals() // by the other one
		p.Stop()
		c.restart(p)
		c.until(p.Name+" is ready", func() error {
			return p.Host.Command("curl", "-sSf", "-o", "/dev/null", "http://127.0.0.1:9090/readyz").Run()
		})
		if n, err := renewals(); err != nil || n == 0 {
			t.Errorf("%d orders while %s was started again: %v", n, p.Name, err)
		}
	}
	said, err = c.ControlCommand("rotate-key", "--finish")
	if err != nil || !strings.Contains(said, "opens nothing any more") {
		t.Errorf("%s, %v", said, err)
	}
	c.warren("cert", "renew", domain, "--wait")
	c.shown(roots, app, domain, "*."+domain)
	c.must(os.WriteFile(file, before, 0o600))
	if said, err := c.ControlCommand("rotate-key"); err == nil || !strings.Contains(err.Error(), "key-encryption key is not the one") {
		t.Errorf("with the old key-encryption key: %s, %v", said, err)
	}
	if requests, failed := stop(); failed != nil || requests == 0 {
		t.Errorf("%d requests, failed: %v", requests, failed)
	}
}

// sealedWith are the data keys that rows are sealed with.
func (c *suite) sealedWith() (keys []string) {
	c.t.Helper()
	for _, col := range store.SealedColumns {
		keys = append(keys, c.query(fmt.Sprintf("SELECT DISTINCT encode(substring(%[1]s FROM 2 FOR 4), 'hex') FROM %[2]s WHERE %[1]s IS NOT NULL", col.Column, col.Table))...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// renewals has the app's certificate ordered anew, again and again, until it is told to stop.
func (c *suite) renewals() (stop func() (orders int, failed error)) {
	done, ended := make(chan struct{}), make(chan struct{})
	orders := 0
	var failed error
	go func() {
		defer close(ended)
		for failed == nil {
			select {
			case <-done:
				return
			default:
			}
			if _, failed = c.Warren("cert", "renew", domain, "--wait"); failed == nil {
				orders++
			}
		}
	}()
	return func() (int, error) {
		close(done)
		<-ended
		return orders, failed
	}
}
