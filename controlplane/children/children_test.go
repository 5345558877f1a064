package children

import (
	"strings"
	"testing"
	"time"
)

// A program that crashes when it is told to end must not pass for one that ended.
func TestStopSaysWhoEndedBadly(t *testing.T) {
	c := New(t.TempDir())
	for name, script := range map[string]string{
		"good": `trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done`,
		"bad":  `trap 'echo oops; exit 2' TERM; echo ready; while :; do sleep 0.01; done`,
	} {
		if err := c.Start(name, "/bin/sh", "-c", script); err != nil {
			t.Fatal(err)
		}
		for !strings.Contains(c.Tail(name), "ready") {
			time.Sleep(time.Millisecond)
		}
	}
	err := c.Stop()
	if err == nil || !strings.Contains(err.Error(), "bad ended with exit status 2") || !strings.Contains(err.Error(), "oops") || strings.Contains(err.Error(), "good") {
		t.Errorf("%v", err)
	}
	if len(c.failed) > 0 {
		t.Errorf("%s counts as ended by itself", <-c.failed)
	}
}
