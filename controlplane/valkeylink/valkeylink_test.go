package valkeylink

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, good := range []string{"redis://cache:6379", "redis://:p%25w@cache/2", "rediss://cache", "valkey://cache", "unix:///run/valkey.sock"} {
		if err := Check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"http://:canary@cache", "redis://:canary%t@cache", "redis://:canary@cache/x", "redis://:canary@cache/canary", "redis://canary:x"} {
		err := Check(bad)
		if err == nil {
			t.Errorf("%s was taken", bad)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("the error for %s tells the password: %v", bad, err)
		}
		if _, err := New(bad, "test", 0); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("New for %s: %v", bad, err)
		}
	}
}
