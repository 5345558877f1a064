// Package measure counts what programs use so that benches can print it.
package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

// Figure is what was measured, by name; "bench" says what of.
type Figure map[string]any

// Print writes a figure as one line of JSON.
func (f Figure) Print(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // "<=" stays readable
	if err := e.Encode(f); err != nil {
		return fmt.Errorf("print figure: %w", err)
	}
	return nil
}

// Round cuts a number to what two shared cores can tell.
func Round(v float64) float64 {
	s, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 3, 64), 64)
	if err != nil {
		return v
	}
	return s
}

// Milliseconds is a duration as figures give it.
func Milliseconds(d time.Duration) float64 {
	return Round(float64(d) / float64(time.Millisecond))
}

// Pause waits, unless ctx ends first.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// CPU is the processor time that running programs have used so far, in user mode and in the kernel.
func CPU(programs ...*lab.Process) (time.Duration, error) {
	var sum time.Duration
	for _, p := range programs {
		cpu, err := CPUOf(p.PID())
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.Name, err)
		}
		sum += cpu
	}
	return sum, nil
}

// CPUOf is CPU of a process. The clock of /proc/PID/stat is too coarse: the scheduler's own account of each thread
// is exact.
func CPUOf(pid int) (sum time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("processor time of process %d: it does not run", pid)
	}
	for _, t := range threads {
		b, err := os.ReadFile(t)
		if os.IsNotExist(err) {
			continue // a thread that ended meanwhile
		}
		fields := strings.Fields(string(b))
		if err != nil || len(fields) == 0 {
			return 0, fmt.Errorf("processor time: %s: %q, %w", t, b, err)
		}
		ns, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("processor time: %s: %w", t, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// Resident is the memory that a program holds, in MiB.
func Resident(p *lab.Process) (float64, error) {
	kib, err := ResidentOf(p.PID())
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.Name, err)
	}
	return Round(float64(kib) / 1024), nil
}

// ResidentOf is the memory that a process holds, in KiB.
func ResidentOf(pid int) (kib uint64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kib); err == nil {
			return kib, nil
		}
	}
	return 0, fmt.Errorf("memory of process %d: no VmRSS", pid)
}

// Quantile is the value that a part q of the sample does not exceed; 0 of no sample.
func Quantile(sample []time.Duration, q float64) time.Duration {
	if len(sample) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(sample))
	i := int(q*float64(len(s))+0.999999) - 1
	return s[min(max(i, 0), len(s)-1)]
}

// Took is how long each request took that succeeded.
func Took(outcomes []lab.Outcome) []time.Duration {
	var out []time.Duration
	for _, o := range outcomes {
		if o.Failure == "" {
			out = append(out, o.Ended-o.Sent)
		}
	}
	return out
}
