package gossip

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/endpoint"
)

func TestWordInMetaData(t *testing.T) {
	for _, w := range []word{{}, {draining: true}, {1 << 63, 300, true}, {7, 1, false}} {
		if got := wordOf(w.meta()); got != w {
			t.Errorf("%+v became %+v", w, got)
		}
	}
	for text, want := range map[string]word{
		"": {}, "\x01": {}, "\x02\x01": {}, "\x01\x01": {draining: true}, "\x01\x00": {},
		"\x01\x01\x00\x00": {draining: true}, // cut: the flags count
	} {
		if got := wordOf([]byte(text)); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

// Whom the rumour misses is told by the next answer to a probe, and no late answer or rumour undoes a word.
func TestAnswersCarryTheWord(t *testing.T) {
	g := New(Options{Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err := g.Apply(Config{Self: "node_0", Peers: []Peer{{"node_1", endpoint.MustParse("192.0.2.1:7946")}}}); err != nil {
		t.Fatal(err)
	}
	g.note(func(time.Time) { g.life.isAlive("node_1", false) })
	rumour := func(w word) {
		g.note(func(time.Time) {
			g.heed("node_1", w)
			g.life.isAlive("node_1", g.words["node_1"].draining)
		})
	}
	answer := func(p pulse) { g.answered("node_1", time.Millisecond, p) }
	for _, step := range []struct {
		what string
		do   func()
		want State
	}{
		{"an answer", func() { answer(pulse{epoch: 5, told: true, count: 1, draining: true}) }, Draining},
		{"an answer from before it", func() { answer(pulse{epoch: 5, told: true}) }, Draining},
		{"a rumour from before it", func() { rumour(word{epoch: 5}) }, Draining},
		{"an answer of an older program", func() { answer(pulse{epoch: 5}) }, Draining},
		{"the next word", func() { rumour(word{5, 2, false}) }, Alive},
		{"a late answer", func() { answer(pulse{epoch: 5, told: true, count: 1, draining: true}) }, Alive},
		{"another process", func() { answer(pulse{epoch: 6, told: true, draining: true}) }, Draining},
		{"a process that is too old to count", func() { rumour(word{}) }, Alive},
	} {
		step.do()
		g.refresh(time.Now())
		if got := g.View().Node("node_1").State; got != step.want {
			t.Errorf("after %s: %s, want %s", step.what, got, step.want)
		}
	}
	select {
	case <-g.news:
	default:
	}
	answer(pulse{epoch: 6, told: true, draining: true}) // all else is as before
	select {
	case <-g.news:
	default:
		t.Error("nobody is told of a word that an answer brought")
	}
}
