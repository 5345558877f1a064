package lab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A program reads the clock in the vDSO, a small library that the kernel maps into each process. Ours replaces the
// function there, in that process alone: it asks the kernel and adds what is wrong about the clock. The program is
// the one that ships, and the machine's clock stays as it is.

// clockCode is clock_gettime(2) for amd64 with a number of seconds added to CLOCK_REALTIME. The number is the last
// eight bytes.
var clockCode = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228 (clock_gettime)
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi (CLOCK_REALTIME is 0)
	0x75, 0x0a, // jne to ret
	0x48, 0x8b, 0x0d, 0x06, 0x00, 0x00, 0x00, // mov rcx, [rip+6]
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3,       // ret
	0x90, 0x90, // align
	0, 0, 0, 0, 0, 0, 0, 0,
}

// JumpClock makes the program's wall clock go wrong by whole seconds from now on, seen from the machine's clock;
// zero puts it right. The monotonic clock goes on. Only the program itself is meant, not its children.
// A Restart keeps it.
func (p *Process) JumpClock(by time.Duration) error {
	if by%time.Second != 0 {
		return fmt.Errorf("clock of %s: %v is no number of seconds", p.Name, by)
	}
	p.mu.Lock()
	p.clock, p.jumped = by, true
	p.mu.Unlock()
	if !p.Running() {
		return nil
	}
	if err := setClock(p.PID(), by); err != nil {
		return fmt.Errorf("clock of %s: %w", p.Name, err)
	}
	return nil
}

func setClock(pid int, by time.Duration) error {
	if runtime.GOARCH != "amd64" {
		return errors.New("programs' clocks can be set on amd64 only")
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	low, high, err := vdso(pid)
	if err != nil {
		return err
	}
	image := make([]byte, high-low)
	if _, err := mem.ReadAt(image, low); err != nil {
		return fmt.Errorf("read vDSO: %w", err)
	}
	at, err := function(image, "__vdso_clock_gettime", len(clockCode))
	if err != nil {
		return err
	}
	code := bytes.Clone(clockCode)
	binary.LittleEndian.PutUint64(code[len(code)-8:], uint64(by/time.Second))
	if old := image[at : at+int64(len(code))]; bytes.Equal(old[:len(code)-8], code[:len(code)-8]) {
		_, err := mem.WriteAt(code[len(code)-8:], low+at+int64(len(code))-8)
		return err
	}
	return outside(pid, low, high, func() error {
		_, err := mem.WriteAt(code, low+at)
		return err
	})
}

// vdso finds the library in a process.
func vdso(pid int) (low, high int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			_, err := fmt.Sscanf(line, "%x-%x", &low, &high)
			return low, high, err
		}
	}
	return 0, 0, errors.New("the process has no vDSO")
}

// function finds a function of at least so many bytes.
func function(image []byte, name string, least int) (int64, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, fmt.Errorf("vDSO: %w", err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, fmt.Errorf("vDSO: %w", err)
	}
	for _, s := range symbols {
		if s.Name == name && s.Size >= uint64(least) && s.Value+s.Size <= uint64(len(image)) {
			return int64(s.Value), nil
		}
	}
	return 0, fmt.Errorf("vDSO: no %s of %d bytes", name, least)
}

// outside stops a process at a moment at which none of its threads is between two addresses, calls f and lets it
// go on.
func outside(pid int, low, high int64, f func() error) error {
	resume := syscall.SIGCONT
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(b), ") T ") {
		resume = 0 // somebody has paused it
	}
	for range 1000 {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return err
		}
		out, err := allOutside(pid, low, high)
		if out && err == nil {
			err = f()
		}
		err = errors.Join(err, syscall.Kill(pid, resume))
		if out || err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("its threads do nothing but read the clock")
}

func allOutside(pid int, low, high int64) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return false, err
	}
	for _, t := range threads {
		stat, err := os.ReadFile(filepath.Join(t, "stat"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if !strings.Contains(string(stat), ") T ") {
			return false, nil // not stopped yet
		}
		b, err := os.ReadFile(filepath.Join(t, "syscall")) // its last field is the instruction pointer
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		fields := strings.Fields(string(b))
		if len(fields) < 2 {
			return false, nil
		}
		pc, err := strconv.ParseInt(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
		if err != nil {
			return false, fmt.Errorf("%s/syscall: %q: %w", t, b, err)
		}
		if pc >= low && pc < high {
			return false, nil
		}
	}
	return true, nil
}
