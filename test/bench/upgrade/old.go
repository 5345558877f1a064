package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// built are the programs of a revision.
type built struct {
	revision string // as git abbreviates it
	bin      string
}

// build checks a revision of the repository out into a folder and builds its programs there, as its Makefile does.
// done removes both again.
func build(ctx context.Context, revision string) (b built, done func() error, err error) {
	name, err := git(ctx, "rev-parse", "--short", "--verify", revision+"^{commit}")
	if err != nil {
		return b, nil, fmt.Errorf("revision %q: %w (a shallow clone has no older ones)", revision, err)
	}
	dir, err := os.MkdirTemp("", "warren-"+name+"-")
	if err != nil {
		return b, nil, err
	}
	tree := filepath.Join(dir, "tree")
	done = func() error {
		_, err := git(context.WithoutCancel(ctx), "worktree", "remove", "--force", tree)
		return errors.Join(err, os.RemoveAll(dir))
	}
	if _, err = git(ctx, "worktree", "add", "--detach", tree, name); err != nil {
		return b, nil, errors.Join(err, os.RemoveAll(dir))
	}
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "build")
	cmd.Dir, cmd.Stdout, cmd.Stderr = tree, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return b, nil, errors.Join(fmt.Errorf("build %s: %w", name, err), done())
	}
	return built{revision: name, bin: filepath.Join(tree, "bin")}, done, nil
}

// git runs a command of git on the repository that we stand in.
func git(ctx context.Context, args ...string) (string, error) {
	var said strings.Builder
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}
