package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/miekg/dns"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab/cluster"
)

const (
	ten     = "order of ten names in a cluster"
	tenWant = "seconds_max <= 4"
)

// serveTen measures orders of ten names: by the worker, from the row of the order until five nodes serve the certificate for each name, and by lego's
// workflow, until it has the certificate, with challenges that the same nodes answer.
func serveTen(ctx context.Context, c *cluster.Cluster, runs int) error {
	names, yaml := tenHosts()
	if err := c.Apply(yaml, "--wait"); err != nil {
		return err
	}
	err := c.Until(ctx, "nothing else is on its way", func() error {
		out, err := c.Warren("cert", "describe", "*.below."+cluster.Domain)
		if err == nil && !strings.Contains(out, "all nodes have the certificate") {
			err = errors.New(out)
		}
		return err
	})
	if err != nil {
		return err
	}
	var took []time.Duration
	serial := ""
	for range runs {
		begin := time.Now()
		err := c.SQL(orderOf(names))
		if err == nil {
			serial, err = nextCertificate(ctx, c, serial, len(names), names...)
		}
		if err != nil {
			out, _ := c.Warren("cert", "describe", names[0])
			return fmt.Errorf("%w\n%s", err, out)
		}
		took = append(took, time.Since(begin))
	}
	f := measure.Figure{"bench": ten, "who": "warren", "nodes": fleet, "runs": runs, "want": tenWant,
		"seconds": measure.Round(measure.Quantile(took, 0.5).Seconds()), "seconds_max": measure.Round(measure.Quantile(took, 1).Seconds())}
	if err := f.Print(os.Stdout); err != nil {
		return err
	}
	peer, err := legoIn(ctx, c)
	if err != nil {
		return fmt.Errorf("lego: %w", err)
	}
	begin := time.Now()
	if err := peer.order(ctx, names); err != nil {
		return fmt.Errorf("lego: %w", err)
	}
	seconds := measure.Round(time.Since(begin).Seconds())
	return measure.Figure{"bench": ten, "who": "lego", "nodes": fleet, "runs": 1, "seconds": seconds, "seconds_max": seconds, "requests": peer.requests()}.Print(os.Stdout)
}

// tenHosts are names of services below two wildcards: the planner would order no certificate of so many names by itself, and takes none for
// another's that no other one covers.
func tenHosts() (names []string, yaml string) {
	const below = "below." + cluster.Domain
	services := []string{cluster.Service("below", "http", `"*.`+below+`"`, "s1", "10.77.1.10", 8080)}
	for i := range 10 {
		zone := cluster.Domain
		if i >= 5 {
			zone = below
		}
		name := fmt.Sprintf("n%d.%s", i, zone)
		names = append(names, name)
		services = append(services, cluster.Service(fmt.Sprintf("n%d", i), "http", name, "s1", "10.77.1.10", 8080))
	}
	return names, strings.Join(services, "---\n")
}

// orderOf writes an order of names as the planner writes one.
func orderOf(names []string) string {
	sorted := slices.Sorted(slices.Values(names))
	list := "ARRAY['" + strings.Join(sorted, "', '") + "']"
	return `WITH kept AS (
		INSERT INTO managed_certificates (id, org_id, names, wanted, next_attempt)
		SELECT gen_random_uuid(), id, ` + list + `, false, now() + interval '1 day' FROM organizations WHERE name = 'default'
		    ON CONFLICT ON CONSTRAINT managed_certificates_names DO UPDATE SET updated_at = now() RETURNING id, org_id
	)
	INSERT INTO orders (id, org_id, managed_id, issuer_id, names, key_type, profile, renewal, certificate_id, next_attempt)
	SELECT gen_random_uuid(), k.org_id, k.id, i.id, ` + list + `, 'ecdsa', '', false, gen_random_uuid(), now() FROM kept k, issuers i WHERE i.name = 'pebble'`
}

// rows is a provider of lego's that has the nodes answer.
type rows struct{ c *cluster.Cluster }

func (r rows) Present(domain, token, keyAuth string) error {
	return r.c.SQL(fmt.Sprintf(`INSERT INTO challenges (id, org_id, order_id, type, name, token, value, expires_at)
		SELECT gen_random_uuid(), id, gen_random_uuid(), 'dns-01', '%s', '%s', '%s', now() + interval '10 minutes' FROM organizations WHERE name = 'default'`,
		domain, token, dns01.GetChallengeInfo(domain, keyAuth).Value))
}

func (r rows) CleanUp(_, token, _ string) error {
	return r.c.SQL("DELETE FROM challenges WHERE token = '" + token + "'")
}

func (r rows) Timeout() (timeout, interval time.Duration) { return time.Minute, 50 * time.Millisecond }

// there reports whether every node answers a challenge.
func (r rows) there(_, fqdn, value string, _ dns01.PreCheckFunc) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, n := range r.c.Nodes {
		raw, err := r.c.Client.Dial(ctx, "udp", netip.AddrPortFrom(n.Host.Addr, 53))
		if err != nil {
			return false, err
		}
		in, _, err := (&dns.Client{Timeout: time.Second}).ExchangeWithConnContext(ctx, new(dns.Msg).SetQuestion(fqdn, dns.TypeTXT), &dns.Conn{Conn: raw})
		_ = raw.Close()
		if err != nil || !slices.ContainsFunc(in.Answer, func(rr dns.RR) bool {
			txt, ok := rr.(*dns.TXT)
			return ok && slices.Contains(txt.Txt, value)
		}) {
			return false, nil // it is asked again
		}
	}
	return true, nil
}

// legoIn is lego on the administrator's host, with an account at the cluster's authority.
func legoIn(ctx context.Context, c *cluster.Cluster) (*theirs, error) {
	var issuer struct {
		DirectoryURL string `json:"directory_url"`
		RootsPEM     string `json:"roots_pem"`
	}
	if err := c.API(ctx, "GET", "/api/v1/issuers/pebble", nil, &issuer); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(issuer.RootsPEM)) {
		return nil, errors.New("no roots of the authority")
	}
	r := rows{c}
	return newLego(issuer.DirectoryURL, newCounterFrom(roots, func(ctx context.Context, network, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		return c.Admin.Dial(ctx, network, to)
	}), r, r.there)
}
