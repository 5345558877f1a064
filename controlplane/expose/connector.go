package expose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/children"
	"github.com/warrenedge/warren/controlplane/yamltext"
	"github.com/warrenedge/warren/shared/atomicfile"
)

// program is what is started.
const program = "warren-connector"

// connector is a program that runs for this one; nil: none does.
type connector struct {
	*children.Children
	dir  string
	lock *os.File
}

// connect lets a new connector join and starts it.
func (r *run) connect(ctx context.Context) (c *connector, err error) {
	bin, err := findProgram(r.Connector)
	if err != nil {
		return nil, err
	}
	t, _, err := r.API.CreateJoinToken(ctx, typed.JoinTokenSpec{Organization: r.Org, Connector: r.Name})
	if err != nil {
		return nil, err
	}
	if len(r.Control) > 0 {
		t.Control = r.Control
	}
	if len(t.Control) == 0 {
		return nil, errors.New("the control plane does not say where connectors reach it: set push_addresses in its settings, or give --control host:port")
	}
	sweep(r.StateDir)
	if c, err = newState(filepath.Join(r.StateDir, r.Name)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	conf, err := yamltext.Marshal(map[string]any{
		"name": r.Name, "state_dir": filepath.Join(c.dir, "state"), "control": t.Control, "token_file": filepath.Join(c.dir, "token"),
		"tunnel": "netstack", // it is there for a while: what it does not make on the machine it can't leave there
		"listen": map[string]any{"admin": ""},
	})
	if err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{"token": []byte(t.Token + "\n"), "connector.yaml": conf} {
		if err := atomicfile.Write(filepath.Join(c.dir, name), text); err != nil {
			return nil, err
		}
	}
	return c, c.Start(program, bin, "--config", filepath.Join(c.dir, "connector.yaml"))
}

// findProgram looks beside this program, then in PATH.
func findProgram(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if self, err := os.Executable(); err == nil {
		if at := filepath.Join(filepath.Dir(self), program); executable(at) {
			return at, nil
		}
	}
	at, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside warren nor in PATH: install it, or give --site with a site that reaches this machine", program)
	}
	return at, nil
}

func executable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

// newState makes a folder that is held as long as this program lives.
func newState(dir string) (*connector, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := hold(dir)
	if err != nil {
		return nil, fmt.Errorf("another warren expose is called so: %w", err)
	}
	return &connector{children.New(dir), dir, f}, nil
}

func hold(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes what programs have left that could not say good-bye.
func sweep(dir string) {
	locks, _ := filepath.Glob(filepath.Join(dir, "*", "lock"))
	for _, at := range locks {
		if f, err := hold(filepath.Dir(at)); err == nil {
			_ = os.RemoveAll(filepath.Dir(at))
			_ = f.Close()
		}
	}
}

// stop ends the connector and removes its folder, with its keys.
func (c *connector) stop() {
	if c == nil {
		return
	}
	_ = c.Stop() // how it ends when it is told to is of no interest
	_ = os.RemoveAll(c.dir)
	_ = c.lock.Close()
}

// failed says that the connector has ended by itself.
func (c *connector) failed() <-chan string {
	if c == nil {
		return nil
	}
	return c.Failed()
}

func (c *connector) lastWords() error {
	return fmt.Errorf("%s has ended by itself; its last words:\n%s", program, c.Tail(program))
}
