package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// console carries out what is typed.
type console struct {
	cluster  *cluster.Cluster
	out      io.Writer
	commands []command
	probe    *probe // nil: none runs
}

type command struct {
	name, args, help string
	least, most      int // arguments; most -1 is no limit
	run              func(ctx context.Context, args []string) error
}

var errQuit = errors.New("quit")

func newConsole(c *cluster.Cluster, out io.Writer) *console {
	k := &console{cluster: c, out: out}
	k.commands = []command{
		{"hosts", "", "what runs where", 0, 0, k.hosts},
		{"status", "", "what the cluster says of itself", 0, 0, k.status},
		{"kill", "PROGRAM", "end it at once (kill -9)", 1, 1, k.onProcess(func(p *lab.Process) error { p.Kill(); return nil })},
		{"stop", "PROGRAM", "make it do nothing (SIGSTOP)", 1, 1, k.onProcess((*lab.Process).Pause)},
		{"cont", "PROGRAM", "let it go on (SIGCONT)", 1, 1, k.onProcess((*lab.Process).Resume)},
		{"restart", "PROGRAM", "start it again, killed or not", 1, 1, k.onProcess((*lab.Process).Restart)},
		{"log", "PROGRAM [LINES]", "its last lines", 1, 2, k.log},
		{"shape", "HOST off|[DELAY] [~JITTER] [LOSS%] [RATEmbit] [up|down]", "shape its link: shape s1 40ms 0.1%", 2, -1, k.shape},
		{"cut", "HOST [up|down]", "cut its link, both ways or one", 1, 2, k.cut},
		{"heal", "HOST", "end the cut", 1, 1, k.heal},
		{"link", "HOST", "its link's shape and counts", 1, 1, k.link},
		{"block-udp", "HOST [PORT...]", "drop its UDP, all or of these ports", 1, -1, k.blockUDP},
		{"allow-udp", "HOST", "end that", 1, 1, k.onHost((*lab.Host).AllowUDP)},
		{"part", "HOST,HOST,... HOST,... [oneway]", "keep two groups apart, or the first from the second", 2, 3, k.part},
		{"unite", "", "end every partition", 0, 0, func(context.Context, []string) error { return c.Lab.Unite() }},
		{"rebind", "SITE", "make its router forget all translations", 1, 1, k.onSite(func(s *cluster.Site, _ []string) error { return s.Net.Rebind() })},
		{"wan", "SITE ADDRESS", "change its router's address on the internet", 2, 2, k.onSite(func(s *cluster.Site, a []string) error { return s.Net.ChangeWAN(a[0]) })},
		{"move", "HOST ADDRESS", "change a host's address", 2, 2, k.move},
		{"clock", "PROGRAM OFFSET", "make its wall clock wrong from now on: -1h; 0s puts it right", 2, 2, k.clock},
		{"fill", "PROGRAM", "leave no room on its disk", 1, 1, k.onDisk((*lab.Disk).Fill)},
		{"free", "PROGRAM", "make room again", 1, 1, k.onDisk((*lab.Disk).Free)},
		{"probe", "[RATE [NODE]]", "ask for " + app + " from the client, 20 times per second; again: what came of it", 0, 2, k.startProbe},
		{"probe-end", "", "end the probe and say what came of it", 0, 0, k.endProbe},
		{"faults", "COUNT [SEED]", "let random faults happen", 1, 2, k.faults},
		{"warren", "ARGS...", "the command line", 1, -1, k.warren},
		{"help", "", "this list", 0, 0, k.help},
		{"quit", "", "end the lab", 0, 0, func(context.Context, []string) error { return errQuit }},
	}
	return k
}

// do carries out one line.
func (k *console) do(ctx context.Context, line string) error {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	i := slices.IndexFunc(k.commands, func(c command) bool { return c.name == words[0] })
	if i < 0 {
		return fmt.Errorf("no command %q; \"help\" lists them", words[0])
	}
	c, args := k.commands[i], words[1:]
	if len(args) < c.least || c.most >= 0 && len(args) > c.most {
		return fmt.Errorf("usage: %s %s", c.name, c.args)
	}
	return k.cluster.Lab.Try(func() error { return c.run(ctx, args) })
}

func (k *console) help(context.Context, []string) error {
	for _, c := range k.commands {
		fmt.Fprintf(k.out, "  %-58s %s\n", c.name+" "+c.args, c.help)
	}
	fmt.Fprintln(k.out, "A site's name means its connector; its router is SITE-nat. Programs are named in \"hosts\".")
	return nil
}

func (k *console) hosts(context.Context, []string) error { k.where(); return nil }

func (k *console) status(context.Context, []string) error {
	out, err := k.cluster.Warren("status")
	fmt.Fprint(k.out, out)
	return err
}

func (k *console) warren(_ context.Context, args []string) error {
	out, err := k.cluster.Warren(args...)
	fmt.Fprint(k.out, out)
	return err
}

func (k *console) onProcess(f func(*lab.Process) error) func(context.Context, []string) error {
	return func(_ context.Context, args []string) error {
		p, err := k.cluster.Process(args[0])
		if err != nil {
			return err
		}
		return k.marked(p.Name, f(p))
	}
}

func (k *console) onDisk(f func(*lab.Disk) error) func(context.Context, []string) error {
	return func(_ context.Context, args []string) error {
		d, err := k.cluster.Disk(args[0])
		if err != nil {
			return err
		}
		return k.marked(args[0], f(d))
	}
}

func (k *console) clock(ctx context.Context, args []string) error {
	by, err := time.ParseDuration(args[1])
	if err != nil {
		return fmt.Errorf("offset: %w", err)
	}
	return k.onProcess(func(p *lab.Process) error { return p.JumpClock(by) })(ctx, args)
}

func (k *console) onHost(f func(*lab.Host) error) func(context.Context, []string) error {
	return func(_ context.Context, args []string) error {
		h, err := k.cluster.Host(args[0])
		if err != nil {
			return err
		}
		return k.marked(h.Name, f(h))
	}
}

func (k *console) onSite(f func(*cluster.Site, []string) error) func(context.Context, []string) error {
	return func(_ context.Context, args []string) error {
		for _, s := range k.cluster.Sites {
			if s.Name == args[0] {
				return k.marked(s.Name, f(s, args[1:]))
			}
		}
		return fmt.Errorf("no site %q", args[0])
	}
}

func (k *console) log(_ context.Context, args []string) error {
	p, err := k.cluster.Process(args[0])
	if err != nil {
		return err
	}
	lines := 20
	if len(args) == 2 {
		if lines, err = strconv.Atoi(args[1]); err != nil || lines < 1 {
			return fmt.Errorf("lines: %q is no number from 1", args[1])
		}
	}
	fmt.Fprintln(k.out, p.Tail(lines))
	return nil
}

func (k *console) linkOf(host string) (*lab.Link, error) {
	h, err := k.cluster.Host(host)
	if err != nil {
		return nil, err
	}
	return h.Link()
}

func (k *console) shape(_ context.Context, args []string) error {
	d, s, err := parseShape(args[1:])
	if err != nil {
		return err
	}
	link, err := k.linkOf(args[0])
	if err != nil {
		return err
	}
	return k.marked(args[0], link.Set(d, s))
}

func (k *console) cut(_ context.Context, args []string) error {
	d := lab.Both
	if len(args) == 2 {
		var ok bool
		if d, ok = directions[args[1]]; !ok {
			return fmt.Errorf("direction %q: want up or down", args[1])
		}
	}
	link, err := k.linkOf(args[0])
	if err != nil {
		return err
	}
	return k.marked(args[0], link.Cut(d))
}

func (k *console) heal(_ context.Context, args []string) error {
	link, err := k.linkOf(args[0])
	if err != nil {
		return err
	}
	return k.marked(args[0], link.Heal())
}

func (k *console) link(_ context.Context, args []string) error {
	link, err := k.linkOf(args[0])
	if err != nil {
		return err
	}
	for _, d := range []lab.Direction{lab.Up, lab.Down} {
		s, cut := link.State(d)
		fmt.Fprintf(k.out, "%-5v %+v cut:%v %+v\n", d, s, cut, link.Stats(d))
	}
	return nil
}

func (k *console) blockUDP(_ context.Context, args []string) error {
	var ports []int
	for _, a := range args[1:] {
		p, err := strconv.Atoi(a)
		if err != nil {
			return fmt.Errorf("port %q: want a number", a)
		}
		ports = append(ports, p)
	}
	return k.onHost(func(h *lab.Host) error { return h.BlockUDP(ports...) })(context.Background(), args)
}

func (k *console) move(_ context.Context, args []string) error {
	return k.onHost(func(h *lab.Host) error { return h.ChangeAddr(args[1]) })(context.Background(), args)
}

func (k *console) part(_ context.Context, args []string) error {
	var groups [2][]*lab.Host
	for i := range groups {
		for name := range strings.SplitSeq(args[i], ",") {
			h, err := k.cluster.Host(name)
			if err != nil {
				return err
			}
			groups[i] = append(groups[i], h)
		}
	}
	switch {
	case len(args) == 2:
		return k.marked("partition", k.cluster.Lab.Partition(groups[0], groups[1]))
	case args[2] == "oneway":
		return k.marked("partition", k.cluster.Lab.PartitionOneWay(groups[0], groups[1]))
	}
	return fmt.Errorf("%q: want oneway, or nothing", args[2])
}

func (k *console) faults(ctx context.Context, args []string) error {
	count, err := strconv.Atoi(args[0])
	if err != nil || count < 1 {
		return fmt.Errorf("count %q: want a number from 1", args[0])
	}
	var seed uint64
	if len(args) == 2 {
		if seed, err = strconv.ParseUint(args[1], 10, 64); err != nil {
			return fmt.Errorf("seed %q: want a number", args[1])
		}
	}
	c := k.cluster
	var list []lab.Fault
	for _, n := range c.Nodes {
		list = append(list, lab.Killed(n.Proc), lab.Paused(n.Proc), lab.Severed(n.Host), lab.Lossy(n.Host), lab.Slow(n.Host), lab.Mistimed(n.Proc), lab.Full(n.Name, c.Disks[n.Name]))
	}
	for _, s := range c.Sites {
		list = append(list, lab.Killed(s.Proc), lab.Severed(s.Connector), lab.Lossy(s.Connector), lab.Deaf(s.Net.Router), lab.Rebound(s.Net), lab.Mistimed(s.Proc), lab.Full(s.Name, c.Disks[s.Name]))
	}
	for _, p := range append([]*lab.Process{c.DB, c.Cache}, c.Control...) {
		list = append(list, lab.Killed(p), lab.Paused(p))
	}
	s := lab.Schedule{Count: count, Quiet: [2]time.Duration{time.Second, 5 * time.Second}, Duration: [2]time.Duration{time.Second, 10 * time.Second}, Pairs: 0.3}
	return c.Lab.Faults(seed, list...).Run(ctx, s, func(step lab.Step, started bool) {
		if started {
			_ = k.marked(strings.Join(step.Faults, " and "), nil)
		} else {
			_ = k.marked("the end of "+strings.Join(step.Faults, " and "), nil)
		}
	})
}
