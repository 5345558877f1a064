//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

const app = "app." + domain

// publishApp publishes one HTTP service of the first site and waits as a user would.
func (c *suite) publishApp() {
	c.t.Helper()
	c.web(c.Sites[0], "web", "10.77.1.10", 8080)
	c.apply(cluster.Service("app", "http", app, "s1", "10.77.1.10", 8080), "--wait")
}

// answered fails the test unless a node answers for the app at once.
func (c *suite) answered(url string, args ...string) cluster.Reply {
	c.t.Helper()
	r, err := c.Curl(url, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func TestAppliedServiceIsReachableFromOutside(t *testing.T) {
	c := newCluster(t)
	c.web(c.Sites[0], "web", "10.77.1.10", 8080)
	c.apply(cluster.Service("app", "http", app, "s1", "10.77.1.10", 8080), "--wait")
	// The command has returned: every node has it, now.
	for _, n := range c.Nodes {
		if r := c.answered("https://"+app+"/", cluster.At(n, app)...); r.Name != "web" {
			t.Errorf("%s: %+v", n.Name, r)
		}
	}
	// And through the resolver, from the root of the DNS down.
	if r := c.answered("https://" + app + "/hello?x=1"); r.Path != "/hello" || r.Host != app || r.Forwarded != "198.18.4.1" {
		t.Errorf("%+v", r)
	}
}

func TestApplyWaitsForEveryNode(t *testing.T) {
	c := newCluster(t)
	c.web(c.Sites[0], "web", "10.77.1.10", 8080)
	file := c.write("app.yaml", cluster.Service("app", "http", app, "s1", "10.77.1.10", 8080))
	slow := c.Nodes[2]
	c.must(slow.Proc.Pause())
	paused := time.Now()
	defer func() { _ = slow.Proc.Resume() }()
	done := make(chan error, 1)
	go func() {
		_, err := c.Warren("apply", "-f", file, "--wait")
		done <- err
	}()
	for _, n := range c.Nodes[:2] {
		c.until(n.Name+" has it", func() error {
			_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
			return err
		})
	}
	away := func() bool { return time.Since(paused) > presence.Silence } // who says nothing for so long is not waited for
	select {
	case err := <-done:
		if !away() {
			t.Fatalf("apply --wait returned before %s had the service: %v", slow.Name, err)
		}
		done <- err
	case <-time.After(time.Second): // it can only be too early, never too late
	}
	c.must(slow.Proc.Resume())
	waited := !away()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !waited {
		c.until(slow.Name+" comes back", func() error {
			_, err := c.Curl("https://"+app+"/", cluster.At(slow, app)...)
			return err
		})
	}
	c.answered("https://"+app+"/", cluster.At(slow, app)...)
}

func TestNodeWithoutTunnelRelaysAndKeepsTheClientsAddress(t *testing.T) {
	c := newCluster(t)
	c.streamsBetweenNodes()
	c.publishApp()
	outside, inside := c.without(c.Sites[0])
	const requests, series = 20, `node_fabric_relays_total{carrier="%s"}`
	// What was opened for one request is kept for the next, and nothing goes through the tunnel, unless a stream is late.
	c.until("requests share streams", func() error {
		by, tunnels := c.seriesOf(outside, fmt.Sprintf(series, "stream")), c.seriesOf(outside, fmt.Sprintf(series, "wireguard"))
		for range requests {
			r := c.answered("https://"+app+"/", cluster.At(outside, app)...)
			if r.Forwarded != "198.18.4.1" {
				t.Errorf("the target saw client %q: %+v", r.Forwarded, r)
			}
		}
		by, tunnels = c.seriesOf(outside, fmt.Sprintf(series, "stream"))-by, c.seriesOf(outside, fmt.Sprintf(series, "wireguard"))-tunnels
		if by > requests/4 || tunnels > 0 {
			return fmt.Errorf("%v streams for %d requests, and %v in tunnels", by, requests, tunnels)
		}
		return nil
	})
	if by := c.seriesOf(outside, fmt.Sprintf(series, "stream")); by < 1 {
		t.Error("no request has gone over a stream")
	}
	// Where they can't be dialled the tunnel stands in; what was kept over them is left.
	outside.Host.Run("nft", "add table inet e2e; add chain inet e2e in { type filter hook input priority 0; };"+
		fmt.Sprintf("add rule inet e2e in ip saddr { %s, %s } tcp dport 443 drop", inside[0].Host.Addr, inside[1].Host.Addr))
	c.until("it is known", func() error {
		if up := c.seriesOf(outside, `node_streams_peers{from="node"}`); up != 0 {
			return fmt.Errorf("%v nodes have streams", up)
		}
		return nil
	})
	c.answered("https://"+app+"/", cluster.At(outside, app)...)
	if by := c.seriesOf(outside, fmt.Sprintf(series, "wireguard")); by < 1 { // one of before, when a stream was late, may have been kept
		t.Error("no request has gone through a tunnel")
	}
}

// A connector hangs behind the nodes that relay to it: they tell it to the node that asks, and no request waits on a
// connection that is kept.
func TestConnectorHangsBehindARelay(t *testing.T) {
	c := newCluster(t)
	c.streamsBetweenNodes()
	c.publishApp()
	outside, inside := c.without(c.Sites[0])
	c.relayOf(outside, inside) // connections are kept
	c.must(c.Sites[0].Proc.Pause())
	c.until("the relays have told", func() error {
		for _, n := range inside {
			if strings.Contains(n.Proc.Log(), "other nodes are told to leave streams through a silent peer") {
				return nil
			}
		}
		return errors.New("not yet")
	})
	c.until("nothing leads there", func() error { // one that came before its tunnels were known to be down may wait
		_, err := c.Curl("https://"+app+"/", cluster.At(outside, app)...)
		if err == nil || !strings.Contains(err.Error(), "503") {
			return fmt.Errorf("while the connector hangs: %w", err)
		}
		return nil
	})
	c.must(c.Sites[0].Proc.Resume())
	c.until("it is back", func() error {
		_, err := c.Curl("https://"+app+"/", cluster.At(outside, app)...)
		return err
	})
}

func TestPassthroughShowsTheTargetsOwnCertificate(t *testing.T) {
	c := newCluster(t)
	const host = "own." + domain
	cert, own := selfSigned(t, host)
	c.web(c.Sites[0], "tls", "10.77.1.11", 8443, cert)
	c.apply(cluster.Service("own", "tls", host, "s1", "10.77.1.11", 8443), "--wait")
	file := c.write("own.pem", string(own))
	for _, n := range c.Nodes {
		// Only the target's own certificate is trusted: anybody else's would fail.
		r := c.answered("https://"+host+"/", append(cluster.At(n, host), "--cacert", file)...)
		if r.Name != "tls" {
			t.Errorf("%s: %+v", n.Name, r)
		}
	}
}

func TestPathsGoToDifferentSites(t *testing.T) {
	c := newCluster(t)
	c.web(c.Sites[0], "a", "10.77.1.10", 8080)
	c.web(c.Sites[1], "b", "10.77.2.10", 8080)
	target := func(name, site, addr, path string) string {
		return fmt.Sprintf("---\napiVersion: warren/v1\nkind: Target\nmetadata: {name: %s}\nspec: {service: app, site: %s, address: %s, port: 8080, path_prefix: %s}\n", name, site, addr, path)
	}
	c.apply(cluster.Service("app", "http", app, "s1", "10.77.1.10", 8080)+target("app-a", "s1", "10.77.1.10", "/a")+target("app-b", "s2", "10.77.2.10", "/b"), "--wait")
	for _, n := range c.Nodes {
		for path, want := range map[string]string{"/a": "a", "/a/x": "a", "/b": "b", "/b/y": "b", "/": "a", "/bb": "a"} {
			if r := c.answered("https://"+app+path, cluster.At(n, app)...); r.Name != want {
				t.Errorf("%s %s went to %q, want %q", n.Name, path, r.Name, want)
			}
		}
	}
}

func TestTrafficGoesOnWithoutControlPlane(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	c.DB.Kill()
	c.Cache.Kill()
	c.Control[0].Kill()
	c.Control[1].Kill()

	all := func() {
		t.Helper()
		for _, n := range c.Nodes {
			c.answered("https://"+app+"/", cluster.At(n, app)...)
			c.until(n.Name+" names all nodes", func() error { // one that was started again is heard of by the others
				if got := c.Dig(n.Host.Addr.String(), app, "A"); len(got) != 3 {
					return fmt.Errorf("answers %v", got)
				}
				return nil
			})
		}
		c.answered("https://" + app + "/")
	}
	all()
	// A node that starts again serves from its disk.
	for _, n := range c.Nodes {
		c.restart(n.Proc)
		c.until(n.Name+" serves from disk", func() error {
			if got := c.Dig(n.Host.Addr.String(), app, "A"); len(got) != 3 {
				return fmt.Errorf("answers %v", got)
			}
			_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
			return err
		})
	}
	for _, n := range c.Nodes { // those that were started before may have reached the site by way of those that were started after
		c.until(n.Name+" serves when all were started again", func() error {
			_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
			return err
		})
	}
	all()
	// So does a connector.
	c.restart(c.Sites[0].Proc)
	for _, n := range c.Nodes {
		c.until(n.Name+" reaches the site again", func() error {
			_, err := c.Curl("https://"+app+"/", cluster.At(n, app)...)
			return err
		})
	}
	all()
}

func TestLosingOneControlReplicaResyncsNothing(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	stop := c.load(app)
	before := c.sentResources()

	// Kill the replica that serves the first node; the others may be there or not.
	victim, name := c.replicaOfFirstNode()
	c.Control[victim].Kill()
	c.until("all are with the other replica", func() error {
		var now status
		if err := c.JSON(&now, "status"); err != nil {
			return err
		}
		for _, n := range slices.Concat(now.Nodes, now.Connectors) { // who is on the way is not waited for, when something is applied
			if n.State != "up" || n.Replica == name {
				return fmt.Errorf("%+v", n)
			}
		}
		return nil
	})
	if requests, failed := stop(); failed != nil || requests == 0 {
		t.Errorf("%d requests, failed: %v", requests, failed)
	}
	// What the other replica has sent since: checkpoints and presence, no configuration.
	after := c.sentResources()
	if n := after[1-victim] - before[1-victim]; n != 0 {
		t.Errorf("the move cost %d resources", n)
	}
	// And the cluster still takes changes, which this number counts.
	c.web(c.Sites[1], "b", "10.77.2.10", 8080)
	c.apply(cluster.Service("b", "http", "b."+domain, "s2", "10.77.2.10", 8080), "--wait")
	c.answered("https://b." + domain + "/")
	if n := c.sentResources()[1-victim] - after[1-victim]; n < len(c.Nodes) {
		t.Errorf("a new service cost %d resources in %d nodes: the number says nothing", n, len(c.Nodes))
	}
}

func TestStoppingAControlReplicaSendsItsNodesToTheOther(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	stop := c.load(app)
	victim, name := c.replicaOfFirstNode()
	c.Control[victim].Stop()
	c.until("all nodes are with the other replica", func() error {
		var st status
		if err := c.JSON(&st, "status"); err != nil {
			return err
		}
		for _, n := range st.Nodes {
			if n.State != "up" || n.Replica == name {
				return fmt.Errorf("%+v", n)
			}
		}
		return nil
	})
	if requests, failed := stop(); failed != nil || requests == 0 {
		t.Errorf("%d requests, failed: %v", requests, failed)
	}
}

func TestNodeDeathChangesThePathAndTheDNS(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	outside, inside := c.without(c.Sites[0])
	c.until("all nodes are named before", func() error { // a question may be lost
		if got := c.Dig("198.18.4.1", app, "A"); len(got) != 3 {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	dead := c.relayOf(outside, inside)
	alive := inside[0]
	if alive == dead {
		alive = inside[1]
	}
	dead.Proc.Kill()
	// The connector's other tunnel carries on where it ends.
	c.answered("https://"+app+"/", cluster.At(alive, app)...)
	for _, n := range []*cluster.Node{alive, outside} {
		c.until(n.Name+" names the dead node no more", func() error {
			got := c.Dig(n.Host.Addr.String(), app, "A")
			if len(got) != 2 || slices.Contains(got, dead.Host.Addr.String()) {
				return fmt.Errorf("answers %v", got)
			}
			if ns := c.Dig(n.Host.Addr.String(), domain, "NS"); len(ns) != 2 || slices.Contains(ns, "ns-"+dead.Name+"."+domain+".") {
				return fmt.Errorf("name servers %v", ns)
			}
			return nil
		})
	}
	// And by relay elsewhere, although the node there has kept connections that led through the dead one.
	for range 4 {
		c.answered("https://"+app+"/", cluster.At(outside, app)...)
	}
	c.answered("https://" + app + "/") // as the resolver says
	c.restart(dead.Proc)
	c.until("the node is named again", func() error {
		if got, ns := c.Dig(alive.Host.Addr.String(), app, "A"), c.Dig(alive.Host.Addr.String(), domain, "NS"); len(got) != 3 || len(ns) != 3 {
			return fmt.Errorf("answers %v and %v", got, ns)
		}
		return nil
	})
}

func TestBadResourceIsRejectedByNameAndAllElseGoesOn(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	c.web(c.Sites[0], "other", "10.77.1.12", 8080)
	c.apply(cluster.Service("other", "http", "other."+domain, "s1", "10.77.1.12", 8080), "--wait")
	bad := c.certificateOf(app)
	c.sql(`UPDATE certificates SET chain_pem = 'this is no certificate' WHERE names = ARRAY['` + app + `']`)
	var debug struct {
		Resources []struct {
			Type   string `json:"type"`
			Name   string `json:"name"`
			Status string `json:"status"`
			Reason string `json:"reason"`
		} `json:"resources"`
	}
	c.until("the debug endpoint shows the rejection, and nothing else that is not in order", func() error {
		debug.Resources = nil
		c.api("GET", "/debug/snapshots/n1", nil, &debug)
		rejected := false
		for _, r := range debug.Resources {
			switch {
			case !strings.HasSuffix(r.Name, "/"+bad):
				if r.Status == "rejected" {
					t.Errorf("%s %s is rejected as well: %s", r.Type, r.Name, r.Reason)
				} else if r.Status != "synced" {
					return fmt.Errorf("%s %s is %s: %s", r.Type, r.Name, r.Status, r.Reason)
				}
			case r.Type == "Certificate" && r.Status == "rejected" && r.Reason != "":
				rejected = true
			}
		}
		if !rejected {
			return fmt.Errorf("%+v", debug.Resources)
		}
		return nil
	})
	// The last good certificate serves on, and other changes arrive.
	for _, n := range c.Nodes {
		c.answered("https://"+app+"/", cluster.At(n, app)...)
		c.answered("https://other."+domain+"/", cluster.At(n, "other."+domain)...)
	}
	c.web(c.Sites[1], "b", "10.77.2.10", 8080)
	c.apply(cluster.Service("b", "http", "b."+domain, "s2", "10.77.2.10", 8080), "--wait")
	c.answered("https://b." + domain + "/")
}

func TestRevokedNodeIsOutForGood(t *testing.T) {
	c := newCluster(t)
	c.publishApp()
	n := c.Nodes[0]
	c.warren("node", "revoke", n.Name, "--yes", "--wait")
	// What the control plane lists is not proof: the node itself says that its stream has ended, and why
	// there is no other one.
	c.until("it has lost its stream", func() error {
		if !strings.Contains(n.Proc.Log(), "PermissionDenied") {
			return fmt.Errorf("its log: %s", n.Proc.Tail(5))
		}
		return nil
	})
	c.until("the control plane says so", func() error { // each of its replicas, one of which was waited for
		var st status
		if err := c.JSON(&st, "status"); err != nil {
			return err
		}
		for _, m := range st.Nodes {
			if m.Name == n.Name && m.State != "revoked" {
				return fmt.Errorf("status says %+v", m)
			}
		}
		return nil
	})
	c.until("the others name it no more", func() error {
		for _, m := range c.Nodes[1:] {
			if got := c.Dig(m.Host.Addr.String(), app, "A"); slices.Contains(got, n.Host.Addr.String()) {
				return fmt.Errorf("%s answers %v", m.Name, got)
			}
		}
		return nil
	})
	// Started again with the identity that it has, it is refused.
	n.Proc.Kill()
	before := len(n.Proc.Log()) // the log goes on in the same file
	c.restart(n.Proc)
	c.until("it is refused again", func() error {
		if !strings.Contains(n.Proc.Log()[before:], "PermissionDenied") {
			return fmt.Errorf("its log: %s", n.Proc.Tail(5))
		}
		return nil
	})
	if strings.Contains(n.Proc.Log()[before:], "snapshot applied") {
		t.Error("it was given a snapshot")
	}
	if _, err := c.Warren("node", "join", n.Name); err == nil {
		t.Error("a revoked node got a new token")
	}
}

// status is what the tests read of GET /api/v1/status.
type status struct {
	Nodes      []member `json:"nodes"`
	Connectors []member `json:"connectors"`
}

type member struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Replica string `json:"replica"`
}

// replicaOfFirstNode is the control replica that the first node is connected to, and its name.
func (c *suite) replicaOfFirstNode() (int, string) {
	c.t.Helper()
	var st status
	c.json(&st, "status")
	for i := range c.Control {
		if name := st.Nodes[0].Replica; name != "" && strings.Contains(c.Control[i].Log(), name) {
			return i, name
		}
	}
	c.t.Fatalf("no replica calls itself %q", st.Nodes[0].Replica)
	return 0, ""
}

// sentResources reads from each replica's metrics how many resources it has sent in transactions.
func (c *suite) sentResources() [2]int {
	var out [2]int
	for i, p := range c.Control {
		if !p.Running() {
			continue
		}
		text, err := c.Lab.Find(fmt.Sprintf("control%d", i+1)).Command("curl", "-sS", "http://127.0.0.1:9090/metrics").Output()
		if err != nil {
			c.t.Fatal(err)
		}
		if !strings.Contains(string(text), "cp_push_revision ") {
			c.t.Fatalf("replica %d has no push metrics", i+1)
		}
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "cp_push_resources_total{") {
				continue
			}
			var v float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err != nil {
				c.t.Fatal(err)
			}
			out[i] += int(v)
		}
	}
	return out
}

// load asks every node for the host again and again until stop is called.
func (c *suite) load(host string, args ...string) (stop func() (requests int, failed []error)) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var requests int
	var failed []error
	done := make(chan struct{})
	for _, n := range c.Nodes {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(50 * time.Millisecond):
				}
				_, err := c.Curl("https://"+host+"/", append(cluster.At(n, host), args...)...)
				mu.Lock()
				requests++
				if err != nil {
					failed = append(failed, err)
				}
				mu.Unlock()
			}
		})
	}
	return func() (int, []error) {
		// At least some after whatever the test did.
		mu.Lock()
		want := requests + 3*len(c.Nodes)
		mu.Unlock()
		c.until("requests go on", func() error {
			mu.Lock()
			defer mu.Unlock()
			if requests < want {
				return fmt.Errorf("%d of %d", requests, want)
			}
			return nil
		})
		close(done)
		wg.Wait()
		return requests, failed
	}
}

// streamsBetweenNodes waits until each of three nodes has streams to the others.
func (c *suite) streamsBetweenNodes() {
	c.t.Helper()
	for _, n := range c.Nodes {
		c.until(n.Name+" has streams to the others", func() error {
			if up := c.seriesOf(n, `node_streams_peers{from="node"}`); up != 2 {
				return fmt.Errorf("to %v", up)
			}
			return nil
		})
	}
}

// relayOf is the node through which another one, which has been asked for the app some times, reaches the
// first site. The other one has kept connections through it.
func (c *suite) relayOf(outside *cluster.Node, inside []*cluster.Node) *cluster.Node {
	c.t.Helper()
	before := []float64{c.relayed(inside[0]), c.relayed(inside[1])}
	var wg sync.WaitGroup
	for range 4 { // at once: several connections are kept
		wg.Go(func() {
			if _, err := c.Curl("https://"+app+"/", cluster.At(outside, app)...); err != nil {
				c.t.Error(err)
			}
		})
	}
	wg.Wait()
	if c.relayed(inside[1])-before[1] > c.relayed(inside[0])-before[0] {
		return inside[1]
	}
	return inside[0]
}

// relayed reads from a node's metrics how many streams it has taken from other nodes.
func (c *suite) relayed(n *cluster.Node) float64 {
	c.t.Helper()
	return c.seriesOf(n, `node_fabric_relayed_total{status="connected"}`)
}

// seriesOf reads one series of a node; 0 if there is none.
func (c *suite) seriesOf(n *cluster.Node, series string) float64 {
	c.t.Helper()
	return c.seriesAt(n.Host, series)
}

// seriesAt does the same of the program on a host.
func (c *suite) seriesAt(h *lab.Host, series string) float64 {
	c.t.Helper()
	for line := range strings.Lines(h.Run("curl", "-sS", "http://127.0.0.1:9090/metrics")) {
		if !strings.HasPrefix(line, series+" ") {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v); err != nil {
			c.t.Fatal(err)
		}
		return v
	}
	return 0
}

// certificateOf is the id of the certificate of a hostname.
func (c *suite) certificateOf(host string) string {
	c.t.Helper()
	var list struct {
		Items []struct {
			ID    string   `json:"id"`
			Names []string `json:"names"`
		} `json:"items"`
	}
	c.api("GET", "/api/v1/orgs/default/certificates", nil, &list)
	for _, item := range list.Items {
		if slices.Contains(item.Names, host) {
			return item.ID
		}
	}
	c.t.Fatalf("no certificate for %s", host)
	return ""
}

// selfSigned makes a certificate that nobody but its holder could.
func selfSigned(t *testing.T, host string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
