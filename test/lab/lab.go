// Package lab makes hosts of network namespaces: an internet that all of them share, private networks
// behind address translation, and processes on them that end with the test.
//
// It needs root, iproute2 and nftables. All names carry a random part, so several labs can exist at once.
package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Lab is one internet and what is connected to it.
type Lab struct {
	t   testing.TB
	tag string // random, in every name
	dir string
	n   int // interfaces made

	internet *segment
	hosts    map[string]*Host
}

// A segment is a bridge in a namespace of its own.
type segment struct {
	ns string
}

// New makes an empty internet. Everything made in it goes away with the test.
func New(t testing.TB) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the lab makes network namespaces: run as root")
	}
	b := make([]byte, 2)
	_, _ = rand.Read(b)
	l := &Lab{t: t, tag: hex.EncodeToString(b), dir: t.TempDir(), hosts: map[string]*Host{}}
	l.internet = l.segment("net")
	return l
}

// Dir is a folder that goes away with the lab.
func (l *Lab) Dir() string { return l.dir }

// run runs a command of the host system and fails the test if it fails.
func (l *Lab) run(name string, args ...string) {
	l.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func (l *Lab) namespace(name string) string {
	l.t.Helper()
	ns := "wrn-" + l.tag + "-" + name
	l.run("ip", "netns", "add", ns)
	l.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	l.run("ip", "-n", ns, "link", "set", "lo", "up")
	return ns
}

func (l *Lab) segment(name string) *segment {
	s := &segment{ns: l.namespace(name)}
	l.run("ip", "-n", s.ns, "link", "add", "br0", "type", "bridge")
	l.run("ip", "-n", s.ns, "link", "set", "br0", "up")
	return s
}

// plug connects a namespace to a segment by a veth pair and gives it an address.
func (l *Lab) plug(s *segment, ns, ifname string, addr netip.Prefix) {
	l.t.Helper()
	l.n++
	port := fmt.Sprintf("p%d", l.n)
	l.run("ip", "-n", s.ns, "link", "add", port, "type", "veth", "peer", "name", ifname, "netns", ns)
	l.run("ip", "-n", s.ns, "link", "set", port, "master", "br0", "up")
	l.run("ip", "-n", ns, "addr", "add", addr.String(), "dev", ifname)
	l.run("ip", "-n", ns, "link", "set", ifname, "up")
}

// Host is one machine: a namespace with an address.
type Host struct {
	Name string
	Addr netip.Addr
	lab  *Lab
	ns   string
}

// Host puts a machine on the internet. All internet hosts share one /16 and see each other directly.
func (l *Lab) Host(name string, addr string) *Host {
	l.t.Helper()
	return l.host(l.internet, name, netip.PrefixFrom(netip.MustParseAddr(addr), 16))
}

func (l *Lab) host(s *segment, name string, addr netip.Prefix) *Host {
	h := &Host{Name: name, Addr: addr.Addr(), lab: l, ns: l.namespace(name)}
	l.plug(s, h.ns, "eth0", addr)
	l.hosts[name] = h
	return h
}

// Find returns a host that was made under a name.
func (l *Lab) Find(name string) *Host { return l.hosts[name] }

// Site is a private network behind a router that masquerades.
type Site struct {
	Router *Host
	seg    *segment
	lab    *Lab
	lan    netip.Prefix
}

// Site makes a private network, a /24 whose .1 is the router; the router has an address on the internet.
func (l *Lab) Site(name, wan, lan string) *Site {
	l.t.Helper()
	s := &Site{lab: l, seg: l.segment(name + "-lan"), lan: netip.MustParsePrefix(lan)}
	s.Router = l.Host(name+"-nat", wan)
	ns := s.Router.ns
	gw := s.lan.Addr().Next()
	l.plug(s.seg, ns, "lan0", netip.PrefixFrom(gw, s.lan.Bits()))
	s.Router.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	// Nothing comes in that was not asked for: a private network as people have it.
	s.Router.nft(`
table ip translate {
	chain out {
		type nat hook postrouting priority 100;
		oifname eth0 masquerade
	}
}
table inet guard {
	chain forwarded {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		iifname lan0 accept
	}
}
`)
	return s
}

// Host puts a machine into the private network.
func (s *Site) Host(name, addr string) *Host {
	s.lab.t.Helper()
	h := s.lab.host(s.seg, name, netip.PrefixFrom(netip.MustParseAddr(addr), s.lan.Bits()))
	s.lab.run("ip", "-n", h.ns, "route", "add", "default", "via", s.lan.Addr().Next().String())
	return h
}

// Command prepares a command on the host.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return h.CommandContext(context.Background(), name, args...)
}

// CommandContext is Command that ends with ctx.
func (h *Host) CommandContext(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.ns, name}, args...)...)
}

// Run runs a command on the host to its end and returns what it printed on stdout; a failure ends the test.
func (h *Host) Run(name string, args ...string) string {
	h.lab.t.Helper()
	cmd := h.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		h.lab.t.Fatalf("%s: %s %s: %v\n%s%s", h.Name, name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// nft loads a ruleset on the host.
func (h *Host) nft(rules string) {
	h.lab.t.Helper()
	cmd := h.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.lab.t.Fatalf("%s: nft: %v\n%s", h.Name, err, out)
	}
}

// In runs f on a thread that is in the host's namespace: sockets that f opens stay there.
func (h *Host) In(f func() error) error {
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and its namespace with it
		ns, err := os.Open(filepath.Join("/run/netns", h.ns))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			_ = ns.Close()
		}
		if err != nil {
			errc <- fmt.Errorf("enter %s: %w", h.Name, err)
			return
		}
		errc <- f()
	}()
	return <-errc
}

// Listen opens a TCP listener on the host that closes with the test.
func (h *Host) Listen(port int) net.Listener {
	h.lab.t.Helper()
	var ln net.Listener
	err := h.In(func() (err error) {
		ln, err = net.Listen("tcp", netip.AddrPortFrom(h.Addr, uint16(port)).String())
		return err
	})
	if err != nil {
		h.lab.t.Fatal(err)
	}
	h.lab.t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// Process is a program that runs on a host until it is killed, stopped or the test ends.
type Process struct {
	Name string
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	once sync.Once
	t    testing.TB
}

// Start starts a program on the host; its output is shown when the test fails.
func (h *Host) Start(name string, env []string, program string, args ...string) *Process {
	h.lab.t.Helper()
	t := h.lab.t
	p := &Process{Name: name, t: t, done: make(chan struct{}), log: filepath.Join(h.lab.dir, name+".log")}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = h.Command(program, args...) // ip netns exec replaces itself by the program: its pid is the program's
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s on %s: %v", name, h.Name, err)
	}
	_ = out.Close()
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("--- %s, last lines\n%s", name, p.Tail(60))
		}
	})
	return p
}

// Kill ends the process as a power cut would, and waits until it is gone.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

// Stop asks the process to end (SIGTERM) and waits; after 30 s it is killed and the test fails.
func (p *Process) Stop() {
	p.t.Helper()
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.Kill()
		p.t.Errorf("%s did not end on SIGTERM", p.Name)
	}
}

func (p *Process) signal(s syscall.Signal) {
	select {
	case <-p.done:
		return
	default:
	}
	p.once.Do(func() { _ = syscall.Kill(-p.cmd.Process.Pid, s) })
	<-p.done
}

// Pause makes the process stand still until Resume, as a machine does that is out of breath: nothing of it
// is closed, and nobody is told.
func (p *Process) Pause() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGCONT) }

// Running reports whether the process is still there.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Log is all that the process has printed.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Tail is the last lines of Log.
func (p *Process) Tail(lines int) string {
	all := strings.Split(strings.TrimRight(p.Log(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Eventually calls ok until it returns nil, and fails the test with its last error after the limit.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		if err = ok(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", limit, what, err)
		}
	}
}

// Resolver makes a name server the one that programs on the host ask.
func (h *Host) Resolver(server netip.Addr) {
	h.lab.t.Helper()
	dir := filepath.Join("/etc/netns", h.ns)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.lab.t.Fatal(err)
	}
	h.lab.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver "+server.String()+"\n"), 0o644); err != nil {
		h.lab.t.Fatal(err)
	}
}
