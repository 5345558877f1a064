package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// owner is the account that the server runs as. PostgreSQL refuses to run as root.
type owner struct {
	name       string
	credential *syscall.Credential // nil: this process's own
}

func account() (owner, error) {
	if os.Geteuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return owner{}, err
		}
		return owner{name: u.Username}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return owner{}, err
		}
		// Without groups: the child keeps none of root's.
		return owner{name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return owner{}, errors.New("started by root, and there is no account postgres or nobody to run the server as")
}

// makeTop makes the state directory. It stays ours: the server's account may pass through it, and plants
// nothing in it.
func (o owner) makeTop(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if o.credential == nil {
		return os.Chmod(dir, 0o700)
	}
	return os.Chmod(dir, 0o711)
}

// makeDir makes a folder of the server's account.
func (o owner) makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	if o.credential == nil {
		return nil
	}
	return os.Lchown(dir, int(o.credential.Uid), int(o.credential.Gid))
}

// canReach checks that the folders above dir may be entered by the server's account.
func (o owner) canReach(dir string) error {
	if o.credential == nil {
		return nil
	}
	for d := filepath.Dir(dir); d != "/"; d = filepath.Dir(d) {
		fi, err := os.Stat(d)
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		if !enters(fi.Mode(), st.Uid == o.credential.Uid, st.Gid == o.credential.Gid) {
			return fmt.Errorf("the server runs as %s, which may not enter %s: choose another state directory, or chmod o+x it", o.name, d)
		}
	}
	return nil
}

// enters reads the one class of a folder's mode that applies to an account.
func enters(mode os.FileMode, user, group bool) bool {
	switch {
	case user:
		return mode&0o100 != 0
	case group:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// command is a program run as the server's account, without the settings that users keep for their clients.
func (o owner) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "PG") || strings.HasPrefix(e, "LC_") || strings.HasPrefix(e, "TZ=")
	}), "LC_ALL=C.UTF-8", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: o.credential}
	return cmd
}
