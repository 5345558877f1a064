package apply

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// stored makes a folder with three generations: revisions 5, 6 and 7.
func storedGenerations(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	n, _ := newNode(t, dir)
	must(t, n, world(t))
	must(t, n, tx(6))
	must(t, n, tx(7))
	return dir
}

func restored(t *testing.T, dir string) uint64 {
	t.Helper()
	n, _ := newNode(t, dir)
	state, err := n.Restore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state.Checkpoint.GetRevision()
}

func TestGenerations(t *testing.T) {
	damage := map[string]func(b []byte) []byte{
		"truncated": func(b []byte) []byte { return b[:len(b)/2] },
		"empty":     func([]byte) []byte { return nil },
		"flipped":   func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b },
		"zeroed":    func(b []byte) []byte { return make([]byte, len(b)) },
		"other":     func([]byte) []byte { return []byte("hello") },
	}
	for name, f := range damage {
		dir := storedGenerations(t)
		if got := restored(t, dir); got != 7 {
			t.Fatalf("undamaged: revision %d", got)
		}
		for i, want := range []uint64{6, 5, 0} {
			path := filepath.Join(dir, generations[i])
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := restored(t, dir); got != want {
				t.Errorf("%s %s: revision %d, want %d", generations[i], name, got, want)
			}
		}
	}
}

func TestAnotherMachinesSnapshotDoesNotOpen(t *testing.T) {
	a, b := storedGenerations(t), t.TempDir()
	raw, err := os.ReadFile(filepath.Join(a, "snapshot"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b, "snapshot"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := restored(t, b); got != 0 {
		t.Errorf("opened with another key: revision %d", got)
	}
	// The same key, but another node's identity.
	disk, err := OpenDisk(a, "node_other", quiet())
	if err != nil {
		t.Fatal(err)
	}
	n := NewNode("node_other", Subsystems{}, disk, quiet(), prometheus.NewRegistry())
	if state, err := n.Restore(t.Context()); err != nil || state.Checkpoint != nil {
		t.Errorf("opened as another node: %v, %v", state, err)
	}
}

// T24: what is on disk shows no private key, and nobody else may read it.
func TestT24_FilesAreSealedAndPrivate(t *testing.T) {
	dir := t.TempDir()
	n, _ := newNode(t, dir)
	cert := certMsg(t, "app.example.org")
	must(t, n, tx(5, res(t, "certificate/o/cert_1", cert)))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), fi.Mode(), err)
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("PRIVATE KEY")) || bytes.Contains(b, cert.GetPrivateKeyPem()[30:60]) || bytes.Contains(b, []byte("app.example.org")) {
			t.Errorf("%s shows its content", e.Name())
		}
		if strings.Contains(e.Name(), ".new-") {
			t.Errorf("left over: %s", e.Name())
		}
	}
}

// A disk that takes no more does not stop the node; it serves what it was told.
func TestFullDiskDoesNotStopTheNode(t *testing.T) {
	dir := t.TempDir()
	n, m := newNode(t, dir)
	must(t, n, world(t))
	n.disk.dir = filepath.Join(dir, "gone")
	must(t, n, tx(6))
	if m.dns.Serial != 6 {
		t.Errorf("serial %d", m.dns.Serial)
	}
	if got := restored(t, dir); got != 5 {
		t.Errorf("on disk: revision %d", got)
	}
}

func FuzzDisk(f *testing.F) {
	dir := f.TempDir()
	disk, err := OpenDisk(dir, me, quiet())
	if err != nil {
		f.Fatal(err)
	}
	l, _ := newLedger().stage(world(f), decode)
	b, err := disk.encode(l)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(magic)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = disk.decode(b, decode)
	})
}
