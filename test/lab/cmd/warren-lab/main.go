// Command warren-lab brings up a cluster on hosts made of network namespaces and lets a person break it.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

func main() {
	var cfg cluster.Config
	flag.StringVar(&cfg.Bin, "bin", "bin", "folder of the four programs")
	flag.IntVar(&cfg.Nodes, "nodes", 3, "number of nodes")
	flag.IntVar(&cfg.Sites, "sites", 2, "number of sites, each with a connector")
	flag.IntVar(&cfg.Replicas, "replicas", 2, "number of control replicas")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "warren-lab: %q is not understood; -help lists the flags\n", flag.Args())
		os.Exit(2)
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "warren-lab makes network namespaces: run it as root")
		os.Exit(1)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// Whoever reads what is printed may go away first: that must not end the program before it has cleaned up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := run(ctx, cfg, os.Stdin, os.Stdout)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "warren-lab:", err)
		os.Exit(1)
	}
}

// run keeps a cluster until its input ends, or ctx.
func run(ctx context.Context, cfg cluster.Config, in io.Reader, out io.Writer) error {
	return lab.Program(out, func(l *lab.Lab) error {
		fmt.Fprintln(out, "starting a cluster; Ctrl-C ends it and leaves nothing behind")
		c, err := cluster.Start(ctx, l, cfg)
		if err == nil {
			err = publish(c)
		}
		if err != nil { // Ctrl-C ends what it has started as well, and that may be noticed first
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		if ctx.Err() != nil {
			return nil // ended while it started
		}
		if err != nil {
			return err
		}
		k := newConsole(c, out)
		defer k.stopProbe()
		k.where()
		fmt.Fprintln(out, "\n\"help\" lists the commands; Ctrl-C or the end of the input ends the lab.")
		k.read(ctx, in)
		fmt.Fprintln(out, "taking everything down")
		return nil
	})
}

// app is a service of the first site, so that there is something to ask for.
const app = "app." + cluster.Domain

func publish(c *cluster.Cluster) error {
	if err := c.Web(c.Sites[0], "web", "10.77.1.10", 8080); err != nil {
		return err
	}
	return c.Apply(cluster.Service("app", "http", app, "s1", "10.77.1.10", 8080), "--wait")
}

// where prints what runs where.
func (k *console) where() {
	programs := map[*lab.Host]string{}
	for name, p := range k.cluster.Processes() {
		programs[p.Host] = name
	}
	w := tabwriter.NewWriter(k.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nHOST\tADDRESSES\tNAMESPACE\tPROGRAM\tLOG")
	for _, h := range k.cluster.Lab.Hosts() {
		program, log := programs[h], ""
		if program != "" {
			log = k.cluster.Processes()[program].LogFile()
		}
		addrs := ""
		for _, a := range h.Addrs() {
			addrs += a.String() + " "
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", h.Name, addrs, h.Namespace(), program, log)
	}
	_ = w.Flush()
	c := k.cluster
	fmt.Fprintf(k.out, `
A shell on a host:   ip netns exec %s bash
The service:         ip netns exec %s curl --cacert %s https://%s/
Configuration, keys: %s
The API:             http://198.18.1.10:8080 (from any internet host), key in %s/bootstrap.key
`, c.Nodes[0].Host.Namespace(), c.Client.Namespace(), c.WebCA(), app, c.Dir, c.Dir)
}

// read carries out commands until there are no more.
func (k *console) read(ctx context.Context, in io.Reader) {
	lines := make(chan string)
	go func() { // a read from a terminal can't be interrupted: this goroutine ends with the program
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		fmt.Fprint(k.out, "lab> ")
		select {
		case <-ctx.Done():
			fmt.Fprintln(k.out)
			return
		case line, ok := <-lines:
			if !ok {
				fmt.Fprintln(k.out)
				return
			}
			if err := k.do(ctx, line); err == errQuit {
				return
			} else if err != nil {
				fmt.Fprintln(k.out, err)
			}
		}
	}
}
