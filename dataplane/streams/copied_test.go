package streams

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/warrenedge/warren/shared/identity"
)

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) count(of string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), of)
}

// Two processes with the identity of one connector, or of one node, don't chase each other, and each knows of the other.
func TestCopiesLeaveEachOtherTime(t *testing.T) {
	for kind, metric := range map[identity.Kind]string{identity.Connector: "node_connector_identity_copied", identity.Node: "node_relay_identity_copied"} {
		t.Run(string(kind), func(t *testing.T) { inBubbleOf(t, kind, func(t *testing.T, b *bubble) { copies(t, b, metric) }) })
	}
}

// copies has two processes dial one node for a while.
func copies(t *testing.T, b *bubble, metric string) {
	said := &lines{}
	o := b.link.opts
	reg := prometheus.NewRegistry()
	o.Log, o.Registerer = slog.New(slog.NewTextHandler(said, nil)), reg
	second := NewConnector(o)
	second.dial.Connect = b.dial
	second.Apply(ConnectorConfig{Nodes: b.link.nodes})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = second.Run(ctx)
	}()
	taken := func() float64 {
		return counter(t, b.node.m.accepts.WithLabelValues(b.node.speaks.control, "false")) + counter(t, b.node.m.accepts.WithLabelValues(b.node.speaks.control, "true"))
	}
	before := taken()
	const d = 20 * time.Minute
	time.Sleep(d)
	synctest.Wait()
	if n := taken() - before; n < 10 || n > 2*d.Seconds()/comeBackLeast.Seconds() {
		t.Errorf("%v control connections in %v", n, d)
	}
	if !b.node.Up(b.peer) || !b.link.others.any() || !second.others.any() {
		t.Errorf("up %v; the copies know: %v and %v", b.node.Up(b.peer), b.link.others.any(), second.others.any())
	}
	if warned, all := said.count("another process uses the identity"), said.count("\n"); warned != 1 || all > 5 {
		t.Errorf("%d lines, %d of them about the other one:\n%s", all, warned, said.buf.String())
	}
	metrics, err := reg.Gather()
	if err != nil || !slices.ContainsFunc(metrics, func(f *dto.MetricFamily) bool {
		return f.GetName() == metric && f.GetMetric()[0].GetGauge().GetValue() == 1
	}) {
		t.Errorf("no metric says so: %v", err)
	}
	cancel()
	<-ended
	time.Sleep(copiedFor + 2*comeBackMost)
	synctest.Wait()
	if b.link.others.any() || !b.node.Up(b.peer) {
		t.Errorf("alone again: signs %v, up %v", b.link.others.any(), b.node.Up(b.peer))
	}
	// A connection that the other one dialled late may idle here, dead, which is seen of the system's connections alone:
	// as fabric does, another one is taken. The connector's own was one too many beside it, and is dialled again by then.
	s, err := b.try(t)
	for range restConns {
		if err != nil {
			time.Sleep(2 * retryMost)
			s, err = b.try(t)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	b.close(t, s)
}
