package daemon

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asProcess makes the test program be a process that drains: its task ends "in order", or "never".
const asProcess = "WARREN_TEST_DAEMON"

func drainingProcess(how string) int {
	log, _ := logger()
	err := RunDraining(context.Background(), log, Drain{Do: func(ctx context.Context, _ bool) {
		fmt.Println("draining")
		<-ctx.Done()
	}}, Func("task", func(ctx context.Context) error {
		fmt.Println("started")
		<-ctx.Done()
		fmt.Println("ending")
		if how == "never" {
			time.Sleep(time.Hour)
		}
		return nil
	}))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// The first signal drains, the second ends the tasks in order, the third kills.
func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		how   string
		steps []string // each line that the process says is answered by a signal
		kills bool
	}{
		{"in order", []string{"started", "draining"}, false},
		{"never", []string{"started", "draining", "ending"}, true},
	} {
		t.Run(tt.how, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), asProcess+"="+tt.how)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for _, step := range tt.steps {
				for lines.Scan() && lines.Text() != step {
				}
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatalf("after %q: %v", step, err)
				}
			}
			for lines.Scan() {
			}
			err = cmd.Wait()
			if tt.kills != (err != nil && strings.Contains(err.Error(), "signal: terminated")) || !tt.kills && err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}
