package handover

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain is a service, too: one that answers with its process id, and ends after two connections.
func TestMain(m *testing.M) {
	if os.Getenv("HANDOVER_TEST") == "" {
		os.Exit(m.Run())
	}
	if err := serve(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func serve() error {
	s, err := Inherit()
	if err != nil {
		return err
	}
	l, err := s.Listen("web", "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p, err := s.ListenPacket("dns", "udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr(), p.LocalAddr(), s.Unused(), os.Getenv("LISTEN_FDS"))
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(c, "%d", os.Getpid())
		_ = c.Close()
	}
	return nil
}

// manager keeps sockets open and starts services with them.
func start(t *testing.T, names string, files ...*os.File) (*exec.Cmd, string) {
	t.Helper()
	// LISTEN_PID must be that of the service itself, which only the service's process knows.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), "HANDOVER_TEST=1", fmt.Sprintf("LISTEN_FDS=%d", len(files)), "LISTEN_FDNAMES="+names)
	cmd.ExtraFiles = files
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

func sockets(t *testing.T) (web *net.TCPListener, dns *net.UDPConn, files [2]*os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web, dns = l.(*net.TCPListener), p.(*net.UDPConn)
	for i, f := range []interface{ File() (*os.File, error) }{web, dns} {
		if files[i], err = f.File(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = l.Close(); _ = p.Close(); _ = files[0].Close(); _ = files[1].Close() })
	return web, dns, files
}

// A service that is started again gets the connections that were made while there was none.
func TestRestartsRefuseNobody(t *testing.T) {
	web, dns, files := sockets(t)
	pids := map[string]int{}
	for range 3 {
		var conns []net.Conn
		for range 2 { // before the service is there
			c, err := net.Dial("tcp", web.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
		}
		cmd, line := start(t, "web:dns", files[0], files[1])
		if want := fmt.Sprintf("%s %s []", web.Addr(), dns.LocalAddr()); line != want {
			t.Fatalf("the service says %q, want %q", line, want)
		}
		for _, c := range conns {
			b, err := io.ReadAll(c)
			if err != nil {
				t.Fatal(err)
			}
			pids[string(b)]++
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if len(pids) != 3 {
		t.Errorf("answers of %v, want two of each of three processes", pids)
	}
}

func TestSocketsNobodyAskedFor(t *testing.T) {
	web, _, files := sockets(t)
	_, line := start(t, "dns:other", files[0], files[1]) // a stream where a datagram socket is asked for
	if addr, rest, _ := strings.Cut(line, " "); addr == web.Addr().String() || !strings.HasSuffix(rest, "[dns (stream) other (datagram)]") {
		t.Errorf("the service says %q", line)
	}
}

func TestTheSameSocketTwice(t *testing.T) {
	_, _, files := sockets(t)
	_, line := start(t, "web:web", files[0], files[0])
	if line != "socket web (stream) handed over twice" {
		t.Errorf("the service says %q", line)
	}
}

func TestNothingIsHandedOver(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	s, err := Inherit()
	if err != nil || len(s.Unused()) > 0 {
		t.Fatalf("what is for another process was taken: %v", err)
	}
	l, err := s.Listen("web", "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if _, err := s.ListenPacket("dns", "udp", "nowhere"); err == nil {
		t.Error("an address without a port was listened on")
	}
}
