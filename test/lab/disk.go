package lab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Disk is a small file system of its own, in memory, that can be filled.
type Disk struct {
	Dir string
	mu  sync.Mutex // one change at a time
}

// ballast is what fills a disk.
const ballast = "ballast"

// Disk puts a file system of a size in bytes in the place of a folder, which is made if it is not there, until the
// lab ends.
func (l *Lab) Disk(dir string, size int64) *Disk {
	l.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	if err := unix.Mount("wrn-"+l.tag, dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		l.t.Fatalf("mount a disk at %s: %v", dir, err)
	}
	l.t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return &Disk{Dir: dir}
}

// Fill leaves no room, not for a byte.
func (d *Disk) Fill() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(d.Dir, ballast), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return nil
		} else if err != nil {
			return fmt.Errorf("fill %s: %w", d.Dir, err)
		}
	}
}

// Free makes room again.
func (d *Disk) Free() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := os.Remove(filepath.Join(d.Dir, ballast)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Full is a disk without room until the end.
func Full(name string, d *Disk) Fault {
	return Fault{"fill the disk of " + name, func(*rand.Rand) (string, func() error, error) { return "", d.Free, d.Fill() }}
}
