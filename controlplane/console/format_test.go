package console

import (
	"testing"
	"time"
)

func TestBrief(t *testing.T) {
	for text, want := range map[string]string{"1m0s": "1m", "90s": "90s", "1m30s": "1m30s", "1h0m0s": "1h", "1h30m0s": "1h30m", "0s": "0s", "10s": "10s", "10m0s": "10m", "": ""} {
		if got := brief(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "–", 20 * time.Microsecond: "<0.1 ms", 60 * time.Microsecond: "0.1 ms", 5400 * time.Microsecond: "5.4 ms", 12 * time.Millisecond: "12 ms"} {
		if got := ms(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
