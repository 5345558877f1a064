package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

const (
	served     = "apex and wildcard ordered until every node serves it"
	servedWant = "seconds_p95 <= 3"
	fleet      = 5 // nodes
)

// inCluster measures with the real programs, Pebble with Unbound before it, every challenge acknowledged and asked for at every node.
func inCluster(ctx context.Context, l *lab.Lab, which *regexp.Regexp, bin string, orders, runs int) error {
	c, err := cluster.Start(ctx, l, cluster.Config{Bin: bin, Nodes: fleet, Sites: 1})
	if err != nil {
		return err
	}
	if err := c.Web(c.Sites[0], "web", "10.77.1.10", 8080); err != nil {
		return err
	}
	name := "app." + cluster.Domain
	if err := c.Apply(cluster.Service("app", "http", name, "s1", "10.77.1.10", 8080), "--wait"); err != nil {
		return err
	}
	if err := c.StartAuthority(ctx, acmetest.Config{}); err != nil {
		return err
	}
	serial, err := nextCertificate(ctx, c, "", 2, name)
	if err == nil && which.MatchString(served) {
		err = serve(ctx, c, name, serial, orders)
	}
	if err == nil && which.MatchString(ten) {
		err = serveTen(ctx, c, runs)
	}
	return err
}

// serve measures orders from the word of an operator until the last of five nodes serves the new certificate.
func serve(ctx context.Context, c *cluster.Cluster, name, serial string, orders int) (err error) {
	var took []time.Duration
	for range orders {
		begin := time.Now()
		path := "/api/v1/orgs/default/managed-certificates/" + url.PathEscape(cluster.Domain) + "/renew"
		if err := c.API(ctx, "POST", path, nil, nil); err != nil {
			return err
		}
		if serial, err = nextCertificate(ctx, c, serial, 2, name); err != nil {
			out, _ := c.Warren("cert", "describe", cluster.Domain)
			return fmt.Errorf("%w\n%s", err, out)
		}
		took = append(took, time.Since(begin))
	}
	return measure.Figure{
		"bench": served, "nodes": fleet, "orders": orders, "want": servedWant,
		"seconds_p50": measure.Round(measure.Quantile(took, 0.5).Seconds()), "seconds_p95": measure.Round(measure.Quantile(took, 0.95).Seconds()),
		"seconds_max": measure.Round(measure.Quantile(took, 1).Seconds()),
	}.Print(os.Stdout)
}

// nextCertificate waits until every node serves one certificate of so many names for all of some hostnames, another than before, and
// returns its serial number.
func nextCertificate(ctx context.Context, c *cluster.Cluster, before string, names int, hosts ...string) (serial string, err error) {
	err = c.Until(ctx, "every node serves the next certificate", func() error {
		serial = ""
		for _, n := range c.Nodes {
			for _, host := range hosts {
				got, err := serialAt(ctx, c, netip.AddrPortFrom(n.Host.Addr, 443), host, names)
				if err != nil {
					return fmt.Errorf("%s: %w", n.Name, err)
				}
				if got == before || serial != "" && got != serial {
					return fmt.Errorf("%s serves %q for %s, as before or as no other", n.Name, got, host)
				}
				serial = got
			}
		}
		return nil
	})
	return serial, err
}

// serialAt returns the serial number of the certificate that a node serves, an error if that is not of so many names.
func serialAt(ctx context.Context, c *cluster.Cluster, at netip.AddrPort, name string, names int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	raw, err := c.Client.Dial(ctx, "tcp", at)
	if err != nil {
		return "", err
	}
	defer raw.Close()
	conn := tls.Client(raw, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", err
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	if len(leaf.DNSNames) != names {
		return "", fmt.Errorf("a certificate of %v", leaf.DNSNames)
	}
	return leaf.SerialNumber.String(), nil
}
