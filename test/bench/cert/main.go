// Command cert orders certificates from Pebble, with controlplane/acme and with lego's own workflow in the
// same run, then with a whole cluster of the real programs, and prints what each took, one JSON line a figure.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
)

func main() {
	only := flag.String("run", "", "regular expression: the scenarios to run (default all)")
	runs := flag.Int("runs", 3, "orders of each kind by each")
	orders := flag.Int("orders", 50, "orders by the cluster")
	bin := flag.String("bin", "bin", "folder of the four programs")
	flag.Parse()
	which, err := regexp.Compile(*only)
	if err != nil || flag.NArg() > 0 || *runs < 1 || *orders < 1 {
		fmt.Fprintln(os.Stderr, "cert: -help lists the flags;", errors.Join(err))
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err = run(ctx, which, *runs)
	if err == nil && (which.MatchString(served) || which.MatchString(ten)) {
		err = lab.Program(os.Stderr, func(l *lab.Lab) error { return inCluster(ctx, l, which, *bin, *orders, *runs) })
	}
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cert:", err)
		os.Exit(1)
	}
}

// scenario is one kind of order at one kind of CA.
type scenario struct {
	name   string
	nonces int // percent of good nonces that the CA rejects
	orders int // at the same time, each with names of its own
	names  func(run string) []string
	want   string
}

func tenNames(run string) (names []string) {
	for i := range 10 {
		names = append(names, fmt.Sprintf("n%d.%s.example", i, run))
	}
	return names
}

func apexAndWildcard(run string) []string { return []string{run + ".example", "*." + run + ".example"} }

var scenarios = []scenario{
	{"order of ten names", 0, 1, tenNames, "seconds <= 4"},
	{"order of apex and wildcard", 0, 1, apexAndWildcard, ""},
	{"ten orders of apex and wildcard at once", 0, 10, apexAndWildcard, ""},
	{"order of ten names, half of the nonces rejected", 50, 1, tenNames, ""},
}

func run(ctx context.Context, which *regexp.Regexp, runs int) error {
	for i, s := range scenarios {
		if !which.MatchString(s.name) {
			continue
		}
		if err := s.run(ctx, i, runs); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// orderer is who orders: how many requests it took is counted below it, and what is not its own work, DNS and
// Pebble, costs both the same.
type orderer interface {
	order(ctx context.Context, names []string) error
	requests() int
}

// run lets the two take turns at the same Pebble.
func (s *scenario) run(ctx context.Context, number, runs int) error {
	dns, err := acmetest.RunDNS()
	if err != nil {
		return err
	}
	defer dns.Stop()
	ca, err := acmetest.Run(acmetest.Config{DNS: dns.Addr, NonceReject: s.nonces})
	if err != nil {
		return err
	}
	defer ca.Stop()
	ours, err := newOurs(ctx, ca, dns)
	if err != nil {
		return err
	}
	defer ours.client.Close()
	theirs, err := newLego(ca.Directory, newCounter(ca.Roots), &provider{dns}, atOnce)
	if err != nil {
		return err
	}
	took := map[string]*tally{"warren": {}, "lego": {}}
	for r := range runs {
		for who, o := range map[string]orderer{"warren": ours, "lego": theirs} {
			if err := took[who].add(ctx, o, s, fmt.Sprintf("%s-%d-%d", who, number, r)); err != nil {
				return fmt.Errorf("%s: %w", who, err)
			}
		}
	}
	for _, who := range []string{"warren", "lego"} {
		f := took[who].figure()
		f["bench"], f["who"] = s.name, who
		if s.want != "" && who == "warren" {
			f["want"] = s.want
		}
		if err := f.Print(os.Stdout); err != nil {
			return err
		}
	}
	return nil
}

// tally sums up runs of a scenario.
type tally struct {
	wall, cpu []time.Duration
	requests  int
}

func (t *tally) add(ctx context.Context, o orderer, s *scenario, run string) error {
	before, begin, used := o.requests(), time.Now(), cpu()
	errs := make(chan error, s.orders)
	for i := range s.orders {
		go func() { errs <- o.order(ctx, s.names(fmt.Sprintf("%s-%d", run, i))) }()
	}
	var err error
	for range s.orders {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return err
	}
	t.wall, t.cpu = append(t.wall, time.Since(begin)), append(t.cpu, cpu()-used)
	t.requests += o.requests() - before
	return nil
}

func (t *tally) figure() measure.Figure {
	return measure.Figure{
		"seconds":     measure.Round(measure.Quantile(t.wall, 0.5).Seconds()),
		"seconds_max": measure.Round(measure.Quantile(t.wall, 1).Seconds()),
		"cpu_seconds": measure.Round(measure.Quantile(t.cpu, 0.5).Seconds()),
		"requests":    measure.Round(float64(t.requests) / float64(len(t.wall))),
		"runs":        len(t.wall),
	}
}

// cpu is what this process has used; Pebble is another one.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
