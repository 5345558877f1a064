//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a node is reached at is a name. The addresses in DNS answers of all nodes are those that it has, and follow it
// when the machine moves; clients that take the new one are served, and nobody is asked to do anything.
func TestAnswersFollowANodesPublicName(t *testing.T) {
	c := newCluster(t)
	const public = "edge1.example"
	n, before, after := c.Nodes[0], c.Nodes[0].Host.Addr.String(), "198.18.2.101"
	var dns names
	dns.set(public, before)
	ns := c.Lab.Host("ns", "198.18.7.1")
	dns.serve(c, ns)
	for _, at := range c.Nodes { // they call each other by name
		at.Host.Resolver(ns.Addr)
	}
	conf := filepath.Join(c.Dir, n.Name+".yaml")
	b, err := os.ReadFile(conf)
	c.must(err)
	text := strings.NewReplacer(
		`public_addresses: ["`+before+`"]`, "public_name: "+public+"\npublic_name_every: 5s",
		`https: "`+before+`:443"`, `https: "0.0.0.0:443"`, // wherever the machine is
		`dns: "`+before+`:53"`, `dns: "0.0.0.0:53"`,
	).Replace(string(b))
	if strings.Contains(text, "public_addresses") || strings.Count(text, "0.0.0.0") != 2 {
		t.Fatalf("the node's file is another than this test knows:\n%s", text)
	}
	c.must(os.WriteFile(conf, []byte(text), 0o600))
	n.Proc.Stop()
	c.restart(n.Proc)
	c.publishApp()

	// answer is that of every node which is where it always was.
	answer := func(what string, want ...string) {
		t.Helper()
		for _, at := range c.Nodes[1:] {
			want = append(want, at.Host.Addr.String())
		}
		slices.Sort(want)
		for _, at := range c.Nodes[1:] {
			c.until(what+" in the answers of "+at.Name, func() error {
				got := c.Dig(at.Host.Addr.String(), app, "A")
				slices.Sort(got)
				if !slices.Equal(got, want) {
					return fmt.Errorf("%v, want %v", got, want)
				}
				return nil
			})
		}
	}
	answer("the name's address is", before)

	dns.set(public, after)
	c.must(n.Host.ChangeAddr(after))
	answer("the other address is", after)
	c.until("a client is served there", func() error {
		_, err := c.Curl("https://"+app+"/", "--resolve", app+":443:"+after)
		return err
	})
}
