// Package logsink sends records of a request log to where the operator wants them.
//
// Each sink has a queue of its own, and loses what has no room in it: a receiver that is slow or away holds up nothing.
package logsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/shared/backoff"
)

// Kinds of sink.
const (
	Syslog = "syslog"
	OTLP   = "otlp"
	HTTP   = "http"
)

// Config is one sink, as an operator writes it.
type Config struct {
	Kind    string            `yaml:"kind"`    // syslog, otlp or http
	URL     string            `yaml:"url"`     // udp://, tcp:// or tls://host:port; of otlp and http: http:// or https://
	Headers map[string]string `yaml:"headers"` // of otlp and http
}

// Validate says what makes no sense.
func (c *Config) Validate() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" {
		return fmt.Errorf("url: %q, want one with a host", c.URL)
	}
	schemes := []string{"https", "http"}
	switch c.Kind {
	case Syslog:
		if schemes = []string{"udp", "tcp", "tls"}; u.Port() == "" {
			return fmt.Errorf("url: %q, want host:port", c.URL)
		}
		if len(c.Headers) > 0 {
			return errors.New("headers: syslog has none")
		}
	case OTLP, HTTP:
	default:
		return fmt.Errorf("kind: %q, want %s, %s or %s", c.Kind, Syslog, OTLP, HTTP)
	}
	if !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("url: %q, want %v", c.URL, schemes)
	}
	return nil
}

// Bounds of a sink.
const (
	queued   = 64               // batches of what is collected in a second, or of a full shard
	sendTime = 10 * time.Second // of one
	tries    = 3
)

// A sender sends a batch to its receiver. It is called by one goroutine.
type sender interface {
	send(ctx context.Context, list []requestlog.Record) error
	close()
}

// Sinks implements requestlog.Consumer.
type Sinks struct {
	node  string
	sinks []*sink
	log   *slog.Logger
	sent  *prometheus.CounterVec
	lost  *prometheus.CounterVec
}

type sink struct {
	Config
	to    sender
	queue chan []requestlog.Record

	waiting atomic.Int64 // batches that are queued or on their way
}

// New makes the sinks of a node. Configs are valid.
func New(configs []Config, node string, log *slog.Logger, reg prometheus.Registerer) *Sinks {
	s := &Sinks{node: node, log: log,
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_log_sink_records_total", Help: "Records that a sink has sent, by its place in the settings."}, []string{"sink", "kind"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_log_sink_dropped_total", Help: "Records that a sink had no room for, or that its receiver did not take."}, []string{"sink", "kind"}),
	}
	reg.MustRegister(s.sent, s.lost)
	for _, c := range configs {
		k := &sink{Config: c, queue: make(chan []requestlog.Record, queued)}
		switch c.Kind {
		case Syslog:
			k.to = newSyslog(c, node)
		case OTLP:
			k.to = newOTLP(c, node)
		case HTTP:
			k.to = newLines(c, node)
		}
		s.sinks = append(s.sinks, k)
	}
	return s
}

// Records implements requestlog.Consumer.
func (s *Sinks) Records(list []requestlog.Record) {
	if len(s.sinks) == 0 {
		return
	}
	list = slices.Clone(list) // one for all sinks, which only read it
	for i, k := range s.sinks {
		k.waiting.Add(1)
		select {
		case k.queue <- list:
		default:
			k.waiting.Add(-1)
			s.dropped(i, k, len(list))
		}
	}
}

func (s *Sinks) dropped(i int, k *sink, n int) {
	s.lost.WithLabelValues(fmt.Sprint(i), k.Kind).Add(float64(n))
}

// Counted implements requestlog.Consumer: sinks get records only.
func (s *Sinks) Counted(requestlog.Counted) {}

// run sends what a sink has queued until ctx ends.
func (s *Sinks) run(ctx context.Context, i int, k *sink) {
	defer k.to.close()
	well := true
	for {
		select {
		case <-ctx.Done():
			return
		case list := <-k.queue:
			err := attempt(ctx, k.to, list)
			k.waiting.Add(-1)
			if err == nil {
				s.sent.WithLabelValues(fmt.Sprint(i), k.Kind).Add(float64(len(list)))
			} else {
				s.dropped(i, k, len(list))
			}
			if was := well; was != (err == nil) {
				if well = err == nil; well {
					s.log.Info("log sink works again", "sink", i, "kind", k.Kind)
				} else if ctx.Err() == nil {
					s.log.Warn("log sink does not take records", "sink", i, "kind", k.Kind, "err", err)
				}
			}
		}
	}
}

// attempt sends a batch, again if that fails.
func attempt(ctx context.Context, to sender, list []requestlog.Record) error {
	wait := backoff.Backoff{Min: 200 * time.Millisecond, Max: 5 * time.Second}
	for n := 1; ; n++ {
		turn, cancel := context.WithTimeout(ctx, sendTime)
		err := to.send(turn, list)
		cancel()
		if err == nil || n == tries || errors.Is(err, errRefused) || !wait.Wait(ctx) {
			return err
		}
	}
}

// errRefused is of a receiver that will not take the same batch later either.
var errRefused = errors.New("refused")
