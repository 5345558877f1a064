// Package atomicfile replaces files so that a crash leaves the old one or the new one, never half of it.
package atomicfile

import (
	"os"
	"path/filepath"
)

// Write replaces a file, readable by its owner only. The content is on disk when it returns.
func Write(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(content); err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return Move(tmp.Name(), path)
}

// Move puts a file in the place of another in the same folder. It is so on disk when it returns.
func Move(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
