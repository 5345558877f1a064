package listening

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

func TestParse(t *testing.T) {
	for text, want := range map[string][]uint16{
		"": nil, head: nil, "rubbish\n\n: : : 0A\n": nil,
		head + "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n":                                    {8080},
		head + "   0: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000  1000        0 1 1\n":                                    nil, // a connection
		head + "   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1\n": {22},
		head + "   0: 0100007F:0000 00000000:0000 0A\n   1: 0100007F:12345 00000000:0000 0A\n   2: 0100007F 00000000:0000 0A\n":                      nil,
	} {
		if got := parse(strings.NewReader(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// Both tables count, each port once, without our own, and no more than anybody reads.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	var v4, v6 strings.Builder
	for p := 1; p <= 2*Most; p++ {
		fmt.Fprintf(&v4, "0: 00000000:%04X 00000000:0000 0A\n", p)
		fmt.Fprintf(&v6, "0: 0000:%04X 0000:0000 0A\n", p)
	}
	paths := []string{filepath.Join(dir, "tcp"), filepath.Join(dir, "tcp6"), filepath.Join(dir, "missing")}
	for i, text := range []string{v4.String(), v6.String()} {
		if err := os.WriteFile(paths[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := New(1, 3).read(paths)
	if len(got) != Most || got[0] != 2 || got[1] != 4 || got[Most-1] != Most+2 {
		t.Errorf("%v", got)
	}
}

func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	all := (&Watch{}).read(tables)
	if len(all) < Most && !slices.Contains(all, port) { // of a machine with more only the first ones
		t.Errorf("%d is not among %v", port, all)
	}
	if got := New(port).Ports(); slices.Contains(got, port) {
		t.Errorf("%d is our own: %v", port, got)
	}
}
