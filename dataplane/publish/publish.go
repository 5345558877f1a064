// Package publish tells the control plane what labels of containers ask for.
package publish

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/docker"
	"github.com/warrenedge/warren/shared/backoff"
)

// When everything is said again although nothing has changed: what is in its way at the control plane may have gone, or
// somebody may have changed what labels have made.
const (
	calm     = 10 * time.Minute
	troubled = time.Minute
	callTime = time.Minute
)

// Connector gives connections to the control plane.
type Connector interface {
	Conn(ctx context.Context) (*grpc.ClientConn, error)
}

// Publisher tells the newest publication until the control plane has taken it. What was not told yet gives way to it.
type Publisher struct {
	conns Connector
	log   *slog.Logger
	m     metrics

	mu     sync.Mutex
	want   *nodev1.PublishRequest // the newest
	wake   chan struct{}          // of room for one
	logged []string               // problems that the log has, as they are now
}

type metrics struct {
	told     prometheus.Counter
	problems prometheus.Gauge
}

// New makes a Publisher; it tells nothing before Set.
func New(conns Connector, log *slog.Logger, reg prometheus.Registerer) *Publisher {
	p := &Publisher{conns: conns, log: log, wake: make(chan struct{}, 1), m: metrics{
		told:     prometheus.NewCounter(prometheus.CounterOpts{Name: "node_publications_total", Help: "Publications of labels that the control plane has taken."}),
		problems: prometheus.NewGauge(prometheus.GaugeOpts{Name: "node_publication_problems", Help: "What the control plane has against the last publication."}),
	}}
	reg.MustRegister(p.m.told, p.m.problems)
	return p
}

// String names the task.
func (p *Publisher) String() string { return "publish" }

// Set says what labels ask for at present.
func (p *Publisher) Set(d docker.Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want = request(&d)
	select {
	case p.wake <- struct{}{}:
	default: // it will find the newest
	}
}

// Run tells until ctx ends.
func (p *Publisher) Run(ctx context.Context) error {
	wait := backoff.Backoff{Min: time.Second, Max: time.Minute}
	again := time.NewTimer(calm)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-again.C:
		}
		p.mu.Lock()
		want := p.want
		p.mu.Unlock()
		if want == nil {
			continue
		}
		switch problems, err := p.tell(ctx, want); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			p.log.Debug("labels not told", "err", err)
			p.complain([]string{"not told: " + status.Convert(err).Message()})
			again.Reset(wait.Next())
		case len(problems) > 0:
			p.complain(problems)
			wait.Reset()
			again.Reset(troubled)
		default:
			p.complain(nil)
			wait.Reset()
			again.Reset(calm)
		}
	}
}

// Withdraw tells once that no engine is read here, for the case that one was before.
func (p *Publisher) Withdraw(ctx context.Context) error {
	wait := backoff.Backoff{Min: time.Second, Max: time.Minute}
	for ctx.Err() == nil {
		_, err := p.tell(ctx, &nodev1.PublishRequest{Withdrawn: true})
		switch status.Code(err) {
		case codes.OK, codes.Unimplemented, codes.PermissionDenied: // what does not know of it has published nothing
			return nil
		}
		wait.Wait(ctx)
	}
	return nil
}

func (p *Publisher) tell(ctx context.Context, want *nodev1.PublishRequest) (problems []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	conn, err := p.conns.Conn(ctx)
	if err != nil {
		return nil, err
	}
	r, err := nodev1.NewPublicationServiceClient(conn).Publish(ctx, want)
	if err != nil {
		return nil, err
	}
	p.m.told.Inc()
	for _, o := range r.GetProblems() {
		problems = append(problems, docker.Problem{Service: o.GetService(), Container: o.GetContainer(), Label: o.GetLabel(), Message: o.GetMessage()}.String())
	}
	return problems, nil
}

// complain logs problems that are new.
func (p *Publisher) complain(problems []string) {
	p.m.problems.Set(float64(len(problems)))
	for _, o := range problems {
		if !slices.Contains(p.logged, o) {
			p.log.Warn("label not followed", "err", o)
		}
	}
	if len(problems) == 0 && len(p.logged) > 0 {
		p.log.Info("all labels followed")
	}
	p.logged = problems
}

func request(d *docker.Publication) *nodev1.PublishRequest {
	out := &nodev1.PublishRequest{Engine: d.Engine, Anywhere: d.Anywhere, Partial: d.Partial, Held: d.Held, Trouble: d.Trouble}
	for i := range d.Services {
		out.Services = append(out.Services, service(&d.Services[i]))
	}
	for _, o := range d.Problems {
		out.Problems = append(out.Problems, &nodev1.PublishProblem{Service: o.Service, Container: o.Container, Label: o.Label, Message: o.Message})
	}
	return out
}

func service(s *docker.Service) *nodev1.PublishedService {
	out := &nodev1.PublishedService{
		Name: s.Name, Kind: s.Kind, Hostname: s.Hostname, Pool: s.Pool, Ports: s.Ports, Allow: s.Allow, ProxyProtocol: int32(s.ProxyProtocol),
		Terminate: s.Terminate, Policy: s.Policy,
	}
	for _, t := range s.Targets {
		target := &nodev1.PublishedTarget{
			Container: t.Container, Address: t.Address, Port: int32(t.Port), PathPrefix: t.PathPrefix, Weight: int32(t.Weight), Scheme: t.Scheme,
			ServerName: t.ServerName, StripPrefix: t.StripPrefix,
		}
		if h := t.HealthCheck; h != nil {
			target.HealthCheck = &nodev1.PublishedCheck{
				Kind: h.Kind, Interval: h.Interval, Timeout: h.Timeout, HealthyThreshold: int32(h.HealthyThreshold), UnhealthyThreshold: int32(h.UnhealthyThreshold),
				Method: h.Method, Path: h.Path, Host: h.Host, ExpectedStatuses: h.ExpectedStatuses, BodyContains: h.BodyContains, Tls: h.TLS,
			}
		}
		out.Targets = append(out.Targets, target)
	}
	return out
}
