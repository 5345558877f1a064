package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// explain says of a socket that nobody could connect to what is to be done about it.
func explain(err error, socket string) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		err = op.Err // without the path once more
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		info, stat := os.Stat(socket)
		if stat != nil {
			return fmt.Errorf("%w: this process may not enter the socket's folder", err)
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return err
		}
		groups, _ := os.Getgroups()
		return denied(err, info.Mode(), owner.Gid, append(groups, os.Getegid()))
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no such socket: the engine does not run, or has it elsewhere", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens there: the engine does not run", err)
	}
	return err
}

// denied says whom a socket is for: its mode, its group, and the groups that this process is in.
func denied(err error, mode fs.FileMode, group uint32, in []int) error {
	const write = 0o020
	name := strconv.FormatUint(uint64(group), 10)
	if g, lookup := user.LookupGroupId(name); lookup == nil {
		name = g.Name
	}
	switch {
	case mode&write == 0:
		return fmt.Errorf("%w: only its owner may use the socket", err)
	case !slices.Contains(in, int(group)):
		return fmt.Errorf("%w: only its owner and the group %s may use the socket, and this process is not in it", err, name)
	}
	return err
}
