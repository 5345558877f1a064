//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab/cluster"
)

// metric reads a number from a node's metrics.
func (c *suite) metric(n *cluster.Node, name string) (float64, error) {
	out, err := n.Host.Command("curl", "-sS", "http://127.0.0.1:9090/metrics").Output()
	if err != nil {
		return 0, fmt.Errorf("metrics of %s: %w", n.Name, err)
	}
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			var v float64
			_, err := fmt.Sscan(rest, &v)
			return v, err
		}
	}
	return 0, fmt.Errorf("%s has no metric %s", n.Name, name)
}

func (c *suite) wantMetric(n *cluster.Node, name string, want float64) error {
	v, err := c.metric(n, name)
	if err == nil && v != want {
		err = fmt.Errorf("%s of %s is %v, want %v", name, n.Name, v, want)
	}
	return err
}

// Nodes and connectors whose disks are full serve what they are told; started again they serve what they had
// written, whole; when there is room they write the newest.
func TestFullDisks(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	for _, name := range []string{"n1", "n2", "n3", "s1"} {
		c.must(c.Disks[name].Fill())
	}
	const late = "late." + domain
	c.web(c.Sites[0], "late", "10.77.1.11", 8080)
	c.apply(cluster.Service("late", "http", late, "s1", "10.77.1.11", 8080), "--wait")
	for _, n := range c.Nodes {
		c.answered("https://"+late+"/", cluster.At(n, late)...)
		c.must(c.wantMetric(n, "node_snapshot_unsaved", 1))
	}
	if log := c.Sites[0].Proc.Log(); !strings.Contains(log, "snapshot not written") {
		t.Error("the connector does not say that its disk is full")
	}

	for _, p := range c.Control {
		p.Kill()
	}
	n := c.Nodes[0]
	c.restart(n.Proc)
	c.until("it serves what it had on disk", func() error {
		_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
		return err
	})
	if _, err := c.Curl("https://"+late+"/", cluster.At(n, late)...); err == nil {
		t.Error("it serves what could not be written: the disk was not full")
	}

	for _, d := range c.Disks {
		c.must(d.Free())
	}
	for _, p := range c.Control {
		c.must(p.Restart())
	}
	c.until("all have written the newest", func() error {
		var errs []error
		for _, n := range c.Nodes {
			_, err := c.Curl("https://"+late+"/", cluster.At(n, late)...)
			errs = append(errs, err, c.wantMetric(n, "node_snapshot_unsaved", 0))
		}
		return errors.Join(errs...)
	})
	for _, p := range c.Control {
		p.Kill()
	}
	for _, n := range c.Nodes {
		c.restart(n.Proc)
	}
	for _, n := range c.Nodes {
		c.until(n.Name+" serves it from disk", func() error {
			_, err := c.Curl("https://"+late+"/", cluster.At(n, late)...)
			return err
		})
	}
}

// A database whose disk is full takes no changes: that is said, and nodes go on.
func TestFullDiskOfTheDatabase(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	c.must(c.Disks["db"].Fill())
	write := func(i int) error {
		body := fmt.Sprintf(`{"name":"more-%050d","pool":"default"}`, i)
		return c.API(t.Context(), "POST", "/api/v1/orgs/default/sites", strings.NewReader(body), nil)
	}
	var refused error
	for i := 0; i < 2000 && refused == nil; i++ { // until the pages are used up that there are
		refused = write(i)
	}
	if refused == nil || !strings.Contains(refused.Error(), "503 ") || !strings.Contains(refused.Error(), `"status":503`) {
		t.Errorf("a write on a full disk: %v, want a problem with status 503", refused)
	}
	for _, n := range c.Nodes {
		c.answered("https://"+app+"/", cluster.At(n, app)...)
	}
	c.must(c.Disks["db"].Free())
	more := 5000
	c.until("changes are taken again", func() error {
		if !c.DB.Running() { // out of room for its log it may end, a moment later as well: that is its way to lose nothing
			c.restart(c.DB)
		}
		more++ // what is refused may have been written all the same
		return write(more)
	})
	for _, n := range c.Nodes {
		c.answered("https://"+app+"/", cluster.At(n, app)...)
	}
}
