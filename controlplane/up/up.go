// Package up runs a whole cluster on one machine as child processes: the same programs, protocols and
// sockets as in production, with a private PostgreSQL.
package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/children"
	"github.com/warrenedge/warren/controlplane/localpg"
)

// Options say what to start.
type Options struct {
	Dir       string    // state directory; made if missing, kept
	Ephemeral bool      // use a temporary directory, removed at the end
	Bin       string    // folder of the other programs
	Postgres  string    // folder of PostgreSQL's programs; looked for if empty
	Out       io.Writer // where the steps and the commands to paste are shown
	Since     time.Time // when a person asked for it, if that was earlier; zero: at Run
}

// Names and addresses of what is started.
const (
	Hostname = "hello.warren.test"
	apex     = "warren.test"
	site     = "home"

	// onMachine is where warren expose publishes: browsers and curl know themselves that names below localhost are here.
	onMachine = "warren.localhost"

	startup = 90 * time.Second
)

// cluster is a run.
type cluster struct {
	Options
	begin    time.Time
	ports    ports
	pg       *localpg.Server
	children *children.Children
	api      typed.Client
}

// Run starts the cluster, shows how to use it, and ends it when ctx ends or a part fails.
func Run(ctx context.Context, o Options) (err error) {
	c := &cluster{Options: o, begin: time.Now()}
	if c.Ephemeral {
		if c.Dir, err = os.MkdirTemp("", "warren-up-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(c.Dir)) }()
		// PostgreSQL may run as another account, which must get to its own folder in there.
		if err := os.Chmod(c.Dir, 0o711); err != nil {
			return err
		}
	}
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o711); err != nil {
		return err
	}
	unlock, err := lock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	for _, program := range []string{"warren-control", "warren-node", "warren-connector"} {
		if _, err := os.Stat(filepath.Join(c.Bin, program)); err != nil {
			return fmt.Errorf("%s is not beside warren: %w", program, err)
		}
	}
	c.children = children.New(filepath.Join(c.Dir, "logs"))
	defer func() {
		c.say("stopping")
		err = errors.Join(err, c.children.Stop())
		if c.pg != nil {
			end, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			err = errors.Join(err, c.pg.Stop(end))
		}
		c.say("stopped")
	}()

	start, cancel := context.WithTimeout(ctx, startup)
	defer cancel()
	if err := c.start(start); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	c.help()
	select {
	case <-ctx.Done():
		return nil
	case name := <-c.children.Failed():
		return fmt.Errorf("%s ended by itself; its last words, from %s:\n%s", name, c.children.LogFile(name), c.children.Tail(name))
	case <-c.pg.Done():
		return fmt.Errorf("PostgreSQL ended by itself; see %s", filepath.Join(c.Dir, "postgresql", "log"))
	}
}

// say shows a step with the time since the start.
func (c *cluster) say(format string, args ...any) {
	fmt.Fprintf(c.Out, "%6.1fs  %s\n", time.Since(c.begin).Seconds(), fmt.Sprintf(format, args...))
}

func (c *cluster) start(ctx context.Context) error {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"ports", c.choosePorts},
		{"PostgreSQL", c.startPostgres},
		{"control plane", c.startControl},
		{"nodes", c.startNodes},
		{"connector", c.startConnector},
		{"sample service", c.publish},
		{"first request", c.firstRequest},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func (c *cluster) startPostgres(ctx context.Context) (err error) {
	c.pg, err = localpg.Start(ctx, localpg.Options{Dir: filepath.Join(c.Dir, "postgresql"), Bin: c.Postgres})
	if err == nil {
		c.say("PostgreSQL answers on its private socket")
	}
	return err
}

// ports are where the parts listen, all on loopback. They are kept, so that a restart is the same cluster.
type ports struct {
	API   int    `json:"api"`
	Push  int    `json:"push"`
	HTTPS [2]int `json:"https"`
	DNS   [2]int `json:"dns"`
	WG    [2]int `json:"wireguard"`
	Admin [4]int `json:"admin"` // control, node 1, node 2, connector
	Web   int    `json:"web"`

	Gossip [2]int `json:"gossip"`
	HTTP   [2]int `json:"http"`
}

func (c *cluster) choosePorts(context.Context) error {
	file := filepath.Join(c.Dir, "ports.json")
	if err := readJSON(file, &c.ports); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	taken := map[int]bool{}
	p := &c.ports
	for _, want := range []struct {
		port *int
		best int
	}{
		{&p.API, 7080}, {&p.Push, 7443}, {&p.HTTPS[0], 8443}, {&p.HTTPS[1], 8444}, {&p.DNS[0], 7053}, {&p.DNS[1], 7054},
		{&p.WG[0], 51821}, {&p.WG[1], 51822}, {&p.Admin[0], 7081}, {&p.Admin[1], 7082}, {&p.Admin[2], 7083}, {&p.Admin[3], 7084}, {&p.Web, 7090},
		{&p.Gossip[0], 7946}, {&p.Gossip[1], 7947}, {&p.HTTP[0], 8480}, {&p.HTTP[1], 8481},
	} {
		if *want.port != 0 {
			taken[*want.port] = true // since an earlier start
			continue
		}
		port, err := freePort(want.best, taken)
		if err != nil {
			return err
		}
		*want.port, taken[port] = port, true
	}
	return writeJSON(file, p)
}

// freePort returns best, or any other port that is free for TCP and UDP on loopback.
func freePort(best int, taken map[int]bool) (int, error) {
	for _, port := range []int{best, 0, 0, 0, 0, 0, 0, 0} {
		l, err := net.Listen("tcp", local(port))
		if err != nil {
			continue
		}
		got := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", local(got))
		_ = l.Close()
		if err != nil {
			continue
		}
		_ = u.Close()
		if !taken[got] {
			return got, nil
		}
	}
	return 0, fmt.Errorf("no free port on loopback instead of %d", best)
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
