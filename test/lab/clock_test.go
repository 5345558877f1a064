//go:build netns

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// clockProgram prints both clocks again and again: seconds of the wall clock, and since it was started.
const clockProgram = `package main

import (
	"fmt"
	"time"
)

func main() {
	for start := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		now := time.Now()
		fmt.Println(now.Unix(), int(now.Sub(start).Seconds()))
	}
}
`

// Only the one program sees its clock jump, at once, as often as one likes; its monotonic clock goes on.
func TestClockJumpsForOneProgram(t *testing.T) {
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "clock")
	must(t, os.WriteFile(source, []byte(clockProgram), 0o600))
	build := exec.Command("go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	h := New(t).Host("h", "198.18.9.1")
	p, other := h.Start("clock", nil, program), h.Start("other", nil, program)
	says := func(p *Process, by time.Duration) {
		t.Helper()
		before := len(p.Log())
		Eventually(t, 10*time.Second, fmt.Sprintf("the clock of %s is %v off", p.Name, by), func() error {
			lines := strings.Split(strings.TrimSpace(p.Log()[before:]), "\n")
			var wall, since int64
			if _, err := fmt.Sscan(lines[len(lines)-1], &wall, &since); err != nil {
				return err
			}
			if off := wall - time.Now().Unix() - int64(by.Seconds()); off < -2 || off > 2 || since < 0 || since > 60 {
				return fmt.Errorf("%d s beside that, %d s since the start", off, since)
			}
			return nil
		})
	}
	says(p, 0)
	for _, by := range []time.Duration{time.Hour, -time.Hour, 0, -30 * 24 * time.Hour} {
		must(t, p.JumpClock(by))
		says(p, by)
		says(other, 0)
	}
	must(t, p.Restart())
	says(p, -30*24*time.Hour)
	if err := p.JumpClock(time.Millisecond); err == nil {
		t.Error("a part of a second was taken")
	}
}
