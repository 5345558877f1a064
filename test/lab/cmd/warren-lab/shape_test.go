package main

import (
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

func TestParseShape(t *testing.T) {
	for line, want := range map[string]struct {
		d lab.Direction
		s lab.Shape
	}{
		"40ms 0.1%":                 {lab.Both, lab.Shape{Delay: 40 * time.Millisecond, Loss: 0.001}},
		"up 1s ~5ms 30% 10mbit":     {lab.Up, lab.Shape{Delay: time.Second, Jitter: 5 * time.Millisecond, Loss: 0.3, Rate: 1e7}},
		"0.5mbit down":              {lab.Down, lab.Shape{Rate: 5e5}},
		"off":                       {lab.Both, lab.Shape{}},
		"off down":                  {lab.Down, lab.Shape{}},
		"40ms up 0.1% 1000mbit ~1s": {lab.Up, lab.Shape{Delay: 40 * time.Millisecond, Jitter: time.Second, Loss: 0.001, Rate: 1e9}},
	} {
		d, s, err := parseShape(strings.Fields(line))
		if err != nil || d != want.d || s != want.s {
			t.Errorf("%s: %v %+v, %v", line, d, s, err)
		}
	}
	for line, want := range map[string]string{
		"fast": `"fast"`, "x%": `"x%"`, "mbit": `"mbit"`, "~": `"~"`, "40": `"40"`, "off 40ms up": "off", "101%": "loss", "-1ms": "delay", "-1mbit": "rate", "NaN%": "loss",
	} {
		if _, _, err := parseShape(strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}
