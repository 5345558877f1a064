package acmetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/shared/porttest"
)

// unbound is where Debian's package puts it.
const unbound = "/usr/sbin/unbound"

// StartResolver runs Unbound between a CA and the servers of zones, for a test: it chooses among them as
// resolvers do, and keeps what it has learned, that a name does not exist included. It returns the address to
// give as Config.DNS.
func StartResolver(t testing.TB, zones []string, servers ...netip.AddrPort) string {
	t.Helper()
	dir := t.TempDir()
	addr := porttest.Address(t)
	conf, err := resolverConfig(dir, addr, zones, servers)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(unbound); err != nil {
		t.Fatalf("this test needs the Debian package unbound: %v", err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(unbound, "-d", "-c", path)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
	})
	if err := answers(addr, ended); err != nil {
		b, _ := os.ReadFile(log.Name())
		t.Fatalf("unbound: %v\n%s", err, bytes.TrimSpace(b))
	}
	return addr
}

// resolverConfig asks the servers for the zones and nobody for anything else. It does that from one address, and from ports
// that porttest gives to nobody: else it would now and then have the port of a server that is just down, or not yet up.
func resolverConfig(dir, addr string, zones []string, servers []netip.AddrPort) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	six, also := slices.ContainsFunc(servers, func(s netip.AddrPort) bool { return s.Addr().Is6() }), ""
	if six {
		also = "\n\toutgoing-interface: ::1"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `server:
	interface: %[1]s@%[2]s
	outgoing-interface: 127.0.0.1%[5]s
	outgoing-port-avoid: 0-32767
	directory: %[3]q
	pidfile: "%[3]s/pid"
	username: ""
	chroot: ""
	use-syslog: no
	num-threads: 1
	incoming-num-tcp: 256
	num-queries-per-thread: 1024
	module-config: "iterator"
	do-not-query-localhost: no
	do-ip6: %[4]s
	qname-minimisation: no
	minimal-responses: yes
	local-zone: "." transparent
	local-zone: "ready.resolver." static
remote-control:
	control-enable: no
`, host, port, dir, yesNo(six), also)
	for _, z := range zones {
		fmt.Fprintf(&b, "stub-zone:\n\tname: %q\n\tstub-prime: no\n", z)
		for _, s := range servers {
			fmt.Fprintf(&b, "\tstub-addr: %s@%d\n", s.Addr(), s.Port())
		}
	}
	for _, z := range zones { // Unbound would answer for "test" itself
		labels := dns.SplitDomainName(z)
		fmt.Fprintf(&b, "server:\n\tlocal-zone: %q nodefault\n", dns.Fqdn(labels[len(labels)-1]))
	}
	return b.String(), nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// answers waits until a resolver answers what it knows itself.
func answers(addr string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		m := new(dns.Msg).SetQuestion("ready.resolver.", dns.TypeA)
		_, _, err := (&dns.Client{Net: "tcp", Timeout: 200 * time.Millisecond}).ExchangeContext(ctx, m, addr)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
