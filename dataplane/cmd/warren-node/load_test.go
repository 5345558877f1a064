package main

import (
	"runtime"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	now, used, conns := time.Unix(1e9, 0), time.Hour, 0
	m := &meter{
		conns: func() int { return conns }, mostConns: func() int { return 400 },
		now: func() time.Time { return now }, processor: func() time.Duration { return used },
	}
	processors := time.Duration(runtime.GOMAXPROCS(0))
	for _, tt := range []struct {
		name  string
		took  time.Duration
		used  time.Duration // of each processor
		conns int
		want  int
	}{
		{"the first look has nothing to compare with", time.Second, time.Second, 0, 0},
		{"idle", time.Second, 0, 0, 0},
		{"half of the processors", time.Second, time.Second / 2, 0, 500},
		{"all of them, and what the clock missed", time.Second, 2 * time.Second, 0, 1000},
		{"connections", time.Second, 0, 100, 250},
		{"the scarcer one", time.Second, time.Second / 10, 100, 250},
		{"the scarcer one", time.Second, time.Second / 2, 100, 500},
		{"more than there may be", time.Second, 0, 500, 1000},
		{"a clock that stands", 0, time.Second, 0, 0},
		{"a clock that goes back", -time.Hour, time.Second, 0, 0},
	} {
		now, used, conns = now.Add(tt.took), used+processors*tt.used, tt.conns
		told := *m // as it looked then
		if got := m.load(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		if got := told.report(); got.Connections != tt.conns || got.Processors < 0 || got.Processors > 1 || tt.conns == 0 && got.Processors != float64(tt.want)/1000 {
			t.Errorf("%s: told %+v", tt.name, got)
		}
	}
	m.mostConns = func() int { return 0 }
	if got := m.load(); got != 0 {
		t.Errorf("no connections allowed: %d", got)
	}
}

func TestProcessorTimeGrows(t *testing.T) {
	before := processorTime()
	for end := time.Now().Add(5 * time.Second); processorTime() == before; {
		if time.Now().After(end) {
			t.Fatal("it does not")
		}
	}
}
