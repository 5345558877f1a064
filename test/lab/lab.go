// Package lab makes hosts of network namespaces: an internet that all of them share, private networks
// behind address translation, links that delay, lose, slow and cut, and processes on them that end with the test.
//
// It needs root, iproute2 and nftables. All names carry a random part, so several labs can exist at once.
// What builds the lab fails the test; what changes it while it runs (links, firewalls, processes) returns
// errors and may be called from any goroutine.
package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// T is what the lab asks of whoever runs it: a *testing.T, a *testing.B, or a program (see Program).
type T interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(func())
	TempDir() string
}

// Lab is one internet and what is connected to it.
type Lab struct {
	// Seed is what everything random in the lab comes from. It is printed; WARREN_LAB_SEED sets it.
	Seed uint64

	t   T
	tag string // random, in every name
	dir string
	n   int // wires made

	internet *segment
	segments []*segment
	hosts    map[string]*Host
	order    []*Host

	mu   sync.Mutex // guards links, and what the firewalls hold
	wall rules
}

// A segment is a bridge in a namespace of its own.
type segment struct {
	ns string
}

// A wire joins a host's interface to a segment: a veth pair, and a link in its middle once somebody asked for one.
type wire struct {
	seg    *segment
	port   string // the segment's end of the pair
	ifname string // the host's end
	link   *Link
}

// seedVariable sets the seed of every lab of a test run: a run is repeated by what it printed.
const seedVariable = "WARREN_LAB_SEED"

// New makes an empty internet. Everything made in it goes away with the test.
func New(t T) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the lab makes network namespaces: run as root")
	}
	b := make([]byte, 2)
	_, _ = rand.Read(b)
	l := &Lab{t: t, Seed: mathrand.Uint64(), tag: hex.EncodeToString(b), dir: t.TempDir(), hosts: map[string]*Host{}}
	if s := os.Getenv(seedVariable); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
		l.Seed = seed
	}
	t.Logf("lab %s: %s=%d", l.tag, seedVariable, l.Seed)
	l.internet = l.segment("net")
	return l
}

// Dir is a folder that goes away with the lab.
func (l *Lab) Dir() string { return l.dir }

// Folder makes a folder that every account may enter and that goes away with the lab.
func (l *Lab) Folder(name string) string {
	l.t.Helper()
	dir, err := os.MkdirTemp("", "wrn-"+l.tag+"-"+name+"-") // not in Dir: a test's folders are closed to other accounts
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	return dir
}

// Hosts are all machines, in the order in which they were made.
func (l *Lab) Hosts() []*Host { return l.order }

// Find returns a host that was made under a name.
func (l *Lab) Find(name string) *Host { return l.hosts[name] }

// run runs a command of the host system and fails the test if it fails.
func (l *Lab) run(name string, args ...string) {
	l.t.Helper()
	if err := system("", name, args...); err != nil {
		l.t.Fatal(err)
	}
}

// system runs a command of the host system on what it reads from stdin.
func system(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a second Ctrl-C doesn't end what cleans up
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, stdin, out)
	}
	return nil
}

func (l *Lab) namespace(name string) string {
	l.t.Helper()
	ns := "wrn-" + l.tag + "-" + name
	l.run("ip", "netns", "add", ns)
	l.t.Cleanup(func() { _ = system("", "ip", "netns", "del", ns) })
	l.run("ip", "-n", ns, "link", "set", "lo", "up")
	return ns
}

func (l *Lab) segment(name string) *segment {
	l.t.Helper()
	s := &segment{ns: l.namespace(name)}
	// A switch says nothing of its own: what is on the wire, the hosts sent.
	for _, conf := range []string{"all", "default"} {
		if err := sysctl(s.ns, "net/ipv6/conf/"+conf+"/disable_ipv6", "1"); err != nil {
			l.t.Fatal(err)
		}
	}
	l.run("ip", "-n", s.ns, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	l.run("ip", "-n", s.ns, "link", "set", "br0", "up")
	l.segments = append(l.segments, s)
	return s
}

// plug connects a namespace to a segment by a veth pair and gives it addresses.
func (l *Lab) plug(s *segment, ns, ifname string, addrs ...netip.Prefix) *wire {
	l.t.Helper()
	l.n++
	w := &wire{seg: s, port: fmt.Sprintf("p%d", l.n), ifname: ifname}
	l.run("ip", "-n", s.ns, "link", "add", w.port, "type", "veth", "peer", "name", ifname, "netns", ns)
	l.run("ip", "-n", s.ns, "link", "set", w.port, "master", "br0", "up")
	settings := map[string]string{
		"net/ipv4/conf/" + ifname + "/promote_secondaries": "1", // an address can be added before the old one goes
		"net/ipv6/conf/" + ifname + "/accept_ra":           "0",
	}
	if !has6(addrs) {
		settings["net/ipv6/conf/"+ifname+"/disable_ipv6"] = "1"
	}
	for key, value := range settings {
		if err := sysctl(ns, key, value); err != nil {
			l.t.Fatal(err)
		}
	}
	l.run("ip", "-n", ns, "link", "set", ifname, "up")
	for _, a := range addrs {
		if err := addAddr(ns, ifname, a); err != nil {
			l.t.Fatal(err)
		}
	}
	return w
}

func has6(addrs []netip.Prefix) bool {
	for _, a := range addrs {
		if a.Addr().Is6() {
			return true
		}
	}
	return false
}

// addAddr gives an interface an address that is usable at once: nobody asks whether another has it.
func addAddr(ns, ifname string, addr netip.Prefix) error {
	args := []string{"-n", ns, "addr", "add", addr.String(), "dev", ifname}
	if addr.Addr().Is6() {
		args = append(args, "nodad")
	}
	return system("", "ip", args...)
}

// sysctl sets a network setting of a namespace.
func sysctl(ns, key, value string) error {
	return inside(ns, func() error {
		if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0o644); err != nil {
			return fmt.Errorf("namespace %s: sysctl %s: %w", ns, key, err)
		}
		return nil
	})
}

// Eventually calls ok until it returns nil, and fails the test with its last error after the limit.
func Eventually(t T, limit time.Duration, what string, ok func() error) {
	t.Helper()
	if err := Wait(context.Background(), limit, what, ok); err != nil {
		t.Fatal(err)
	}
}

// Wait calls ok until it returns nil; after the limit or the end of ctx it returns ok's last error.
func Wait(ctx context.Context, limit time.Duration, what string, ok func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %s: %w", limit, what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
