package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// kekCommandTime bounds a kek_command: it may ask a service.
const kekCommandTime = 30 * time.Second

// kekSize bounds a key-encryption key; one is about 300 bytes.
const kekSize = 64 << 10

// ReadKEK returns the key-encryption key: from WARREN_KEK, from the file, or from what the command prints. What a
// command says on standard error is part of the error if it fails; what it prints never is.
func (c *Config) ReadKEK(ctx context.Context) ([]byte, error) {
	switch {
	case c.KEK != "":
		return []byte(c.KEK), nil
	case len(c.KEKCommand) > 0:
		return runKEKCommand(ctx, c.KEKCommand)
	}
	b, err := os.ReadFile(c.KEKFile)
	if err != nil {
		return nil, fmt.Errorf("kek_file: %w", err)
	}
	return b, nil
}

// KEKExposed reports whether the key-encryption key comes from a file that every user of the machine can read.
func (c *Config) KEKExposed() bool {
	if c.KEK != "" || len(c.KEKCommand) > 0 {
		return false
	}
	info, err := os.Stat(c.KEKFile)
	return err == nil && info.Mode().Perm()&0o004 != 0
}

func runKEKCommand(ctx context.Context, argv []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, kekCommandTime)
	defer cancel()
	out, said := &bounded{max: kekSize}, &bounded{max: 1 << 10}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, said, time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("kek_command: %s has not ended within %s", argv[0], kekCommandTime)
	case err != nil:
		return nil, fmt.Errorf("kek_command: %s: %w: %s", argv[0], err, bytes.TrimSpace(said.kept.Bytes()))
	case out.cut:
		return nil, fmt.Errorf("kek_command: %s prints more than %d bytes", argv[0], kekSize)
	case len(bytes.TrimSpace(out.kept.Bytes())) == 0:
		return nil, errors.New("kek_command: " + argv[0] + " printed nothing")
	}
	return out.kept.Bytes(), nil
}

// bounded keeps the first bytes of what is written. The buffer is no embedded one: its ReadFrom would know no bound.
type bounded struct {
	kept bytes.Buffer
	max  int
	cut  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	keep := p
	if room := b.max - b.kept.Len(); len(keep) > room {
		keep, b.cut = keep[:room], true
	}
	_, _ = b.kept.Write(keep)
	return len(p), nil
}

func given(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}
