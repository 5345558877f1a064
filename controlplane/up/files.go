package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/warrenedge/warren/controlplane/yamltext"
	"github.com/warrenedge/warren/shared/atomicfile"
)

// lock keeps a second cluster out of the same directory.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another warren up runs in %s: stop it, or choose another --state-dir", filepath.Dir(path))
		}
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, b)
}

func writeYAML(path string, v any) error {
	b, err := yamltext.Marshal(v)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, b)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
