package apply

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warrenedge/warren/shared/bubbletest"
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

// A disk that takes no more does not stop the node: it serves what it was told, keeps the generations that it has,
// and writes the newest as soon as it can.
func TestFullDiskDoesNotStopTheNode(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		dir := t.TempDir()
		n, m := newNode(t, dir)
		must(t, n, world(t))
		must(t, n, tx(6))
		must(t, n, tx(7))
		full := filepath.Join(dir, nextGeneration, "in the way")
		if err := os.MkdirAll(full, 0o700); err != nil {
			t.Fatal(err)
		}
		for rev := uint64(8); rev < 12; rev++ {
			must(t, n, tx(rev))
		}
		if m.dns.Serial != 11 {
			t.Errorf("serial %d", m.dns.Serial)
		}
		if got := testutil.ToFloat64(n.m.unsaved); got != 1 {
			t.Errorf("node_snapshot_unsaved is %v", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- n.Keep(ctx) }()
		time.Sleep(10 * saveAgain)
		for i, want := range []uint64{7, 6, 5} {
			if got := restored(t, dir); got != want {
				t.Errorf("on disk: revision %d, want %d", got, want)
			}
			if err := os.Rename(filepath.Join(dir, generations[i]), filepath.Join(dir, "away"+generations[i])); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range generations {
			if err := os.Rename(filepath.Join(dir, "away"+name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}

		if err := os.RemoveAll(filepath.Join(dir, nextGeneration)); err != nil { // there is room again
			t.Fatal(err)
		}
		time.Sleep(saveAgain)
		synctest.Wait()
		if got := restored(t, dir); got != 11 {
			t.Errorf("room again, but on disk is revision %d", got)
		}
		if got := testutil.ToFloat64(n.m.unsaved); got != 0 {
			t.Errorf("node_snapshot_unsaved is %v", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
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
