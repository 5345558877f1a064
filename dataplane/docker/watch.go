package docker

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/shared/backoff"
)

// When an engine is looked at. An event only shortens the wait.
const (
	every = 30 * time.Second       // although nothing happened
	quiet = 200 * time.Millisecond // without an event, until what has happened is looked at
	most  = 2 * time.Second        // of events without a pause
)

// Config is which engine is read, and how its containers are reached.
type Config struct {
	Options
	Socket string        // path
	Grace  time.Duration // how long a container that has stopped stays published: it may be on its way back
}

// settle is how long after the engine was met not all that belongs here may be up yet: its machine may just have started.
func (c Config) settle() time.Duration { return 6 * c.Grace }

// Watcher follows one engine.
type Watcher struct {
	cfg    Config
	tell   func(Publication)
	dial   dialSocket
	log    *slog.Logger
	m      metrics
	memory memory
	last   *Publication
	first  time.Time // when the engine was met after it was away
}

type metrics struct {
	lists    prometheus.Counter
	failures prometheus.Counter
	services prometheus.Gauge
}

// New makes a Watcher. tell is called by Run alone, with the whole publication whenever it is another one.
func New(cfg Config, tell func(Publication), log *slog.Logger, reg prometheus.Registerer) *Watcher {
	w := &Watcher{cfg: cfg, tell: tell, dial: dialUnix, log: log, m: metrics{
		lists:    prometheus.NewCounter(prometheus.CounterOpts{Name: "node_docker_lists_total", Help: "Lists of containers that an engine has given."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "node_docker_failures_total", Help: "Attempts to read an engine that came to nothing."}),
		services: prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_docker_services", Help: "Services that labels of containers ask for."}),
	}}
	reg.MustRegister(w.m.lists, w.m.failures, w.m.services)
	return w
}

// String names the task.
func (w *Watcher) String() string { return "docker" }

// Run follows the engine until ctx ends. While the engine can't be read, what was told last stands.
func (w *Watcher) Run(ctx context.Context) error {
	wait := backoff.Backoff{Min: time.Second, Max: 10 * time.Second}
	for ctx.Err() == nil {
		err := w.follow(ctx, wait.Reset)
		if ctx.Err() != nil {
			break
		}
		w.m.failures.Inc()
		w.say(Publication{Trouble: clip(fmt.Sprintf("engine at %s: %v", w.cfg.Socket, err))})
		wait.Wait(ctx)
	}
	return nil
}

// follow reads the engine until it can't be read.
func (w *Watcher) follow(ctx context.Context, met func()) error {
	e := newEngine(w.cfg.Socket, w.dial)
	defer e.close()
	if err := e.meet(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	hints, ended := make(chan struct{}, 1), make(chan struct{})
	defer func() { cancel(); <-ended }()
	go func() {
		defer close(ended)
		w.listen(ctx, e, func() {
			select {
			case hints <- struct{}{}:
			default: // one is waiting, and says the same
			}
		})
	}()
	w.first = time.Now()
	for {
		list, err := e.containers(ctx)
		if err != nil {
			return err
		}
		met()
		w.m.lists.Inc()
		now := time.Now()
		all, again := w.memory.observe(now, list, w.cfg.Grace)
		p := Read(all, w.cfg.Options)
		p.Engine = e.id
		if left := w.cfg.settle() - now.Sub(w.first); left > 0 {
			p.Partial, again = true, min(again, left)
		}
		w.say(p)
		if !pause(ctx, hints, min(every, again)) {
			return ctx.Err()
		}
	}
}

// listen follows the engine's events. One that has none is looked at now and then all the same.
func (w *Watcher) listen(ctx context.Context, e *engine, hint func()) {
	wait := backoff.Backoff{Min: time.Second, Max: 30 * time.Second}
	for ctx.Err() == nil {
		err := e.events(ctx, func() { wait.Reset(); hint() }, hint) // what happened before has to be seen
		if ctx.Err() != nil {
			return
		}
		w.log.Debug("events of the engine ended", "err", err)
		hint() // it may be away
		wait.Wait(ctx)
	}
}

// pause waits for events and the silence after them, for a while at most, and reports whether ctx goes on.
func pause(ctx context.Context, hints <-chan struct{}, while time.Duration) bool {
	idle := time.NewTimer(while)
	defer idle.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-idle.C:
		return true
	case <-hints:
	}
	limit := time.NewTimer(most)
	defer limit.Stop()
	for {
		silence := time.NewTimer(quiet)
		select {
		case <-ctx.Done():
			silence.Stop()
			return false
		case <-limit.C:
			silence.Stop()
			return true
		case <-hints:
			silence.Stop()
		case <-silence.C:
			return true
		}
	}
}

// say tells what is another publication than the last one.
func (w *Watcher) say(p Publication) {
	if w.last != nil && reflect.DeepEqual(*w.last, p) {
		return
	}
	if p.Trouble != "" {
		if w.last == nil || w.last.Trouble == "" {
			w.log.Warn("engine can't be read, what it last asked for stays", "err", p.Trouble)
		}
	} else {
		w.m.services.Set(float64(len(p.Services)))
		w.log.Info("labels read", "engine", p.Engine, "services", len(p.Services), "problems", len(p.Problems))
		w.complain(p.Problems)
	}
	w.last = &p
	w.tell(p)
}

// complain logs problems that are new.
func (w *Watcher) complain(problems []Problem) {
	had := map[Problem]bool{}
	if w.last != nil {
		for _, p := range w.last.Problems {
			had[p] = true
		}
	}
	for _, p := range problems {
		if !had[p] {
			w.log.Warn("label not followed", "err", p.String())
		}
	}
}

// memory is which containers run, and which did a moment ago.
type memory struct {
	running map[string]Container // by id
	gone    map[string]departed
}

type departed struct {
	Container
	at time.Time
}

// observe takes what runs now, adds what has stopped less than the grace ago, and says when the next of those is over.
func (m *memory) observe(now time.Time, list []Container, grace time.Duration) (all []Container, again time.Duration) {
	again = every
	running, names := make(map[string]Container, len(list)), make(map[string]bool, len(list))
	for _, c := range list {
		running[c.ID], names[c.Name] = c, true
	}
	if m.gone == nil {
		m.gone = map[string]departed{}
	}
	for id, c := range m.running {
		if _, runs := running[id]; !runs {
			c.Gone = true
			m.gone[id] = departed{c, now}
		}
	}
	m.running = running
	all = append(all, list...)
	for id, d := range m.gone {
		_, runs := running[id]
		left := grace - now.Sub(d.at)
		if runs || names[d.Name] || left <= 0 {
			delete(m.gone, id)
			continue
		}
		all, again = append(all, d.Container), min(again, left)
	}
	return all, again
}
