// Package publish takes from connectors what labels of containers ask to be published.
package publish

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/identity"
)

// Publisher makes the services of a connector's site be as its labels ask for.
type Publisher interface {
	Publish(ctx context.Context, id model.ConnectorID, said *model.Publication) (*model.Published, error)
	Withdraw(ctx context.Context, id model.ConnectorID) error
}

// Server implements nodev1.PublicationServiceServer.
type Server struct {
	nodev1.UnimplementedPublicationServiceServer
	to    Publisher
	admit identity.Admit
	log   *slog.Logger
}

// New makes a Server.
func New(to Publisher, admit identity.Admit, log *slog.Logger) *Server {
	return &Server{to: to, admit: admit, log: log}
}

// Publish implements nodev1.PublicationServiceServer.
func (s *Server) Publish(ctx context.Context, req *nodev1.PublishRequest) (*nodev1.PublishResponse, error) {
	who, _, err := s.admit(ctx)
	if err != nil {
		return nil, err
	}
	id, err := model.ConnectorID{}.Parse(who.ID)
	if who.Kind != identity.Connector || err != nil {
		return nil, status.Error(codes.PermissionDenied, "only connectors publish")
	}
	if req.GetWithdrawn() {
		return &nodev1.PublishResponse{}, s.refuse(who.ID, s.to.Withdraw(ctx, id))
	}
	said, err := read(req)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	done, err := s.to.Publish(ctx, id, said)
	if err != nil {
		return nil, s.refuse(who.ID, err)
	}
	out := &nodev1.PublishResponse{Services: done.Services}
	for _, p := range done.Problems {
		out.Problems = append(out.Problems, &nodev1.PublishProblem{Service: p.Service, Container: p.Container, Label: p.Label, Message: p.Message})
	}
	return out, nil
}

// refuse says to a connector what it can do about an error.
func (s *Server) refuse(who string, err error) error {
	switch {
	case err == nil:
		return nil
	case fault.Of(err) == fault.Unavailable:
		return status.Error(codes.Unavailable, "try again")
	case fault.Of(err) == fault.Denied, fault.Of(err) == fault.NotFound:
		return status.Error(codes.PermissionDenied, err.Error())
	}
	s.log.Error("labels of a connector not followed", "connector", who, "err", err)
	return status.Error(codes.Internal, "not published")
}

// read brings a request into the words of the model. It is bounded here; what it means is for others to say.
func read(req *nodev1.PublishRequest) (*model.Publication, error) {
	r := &reader{}
	out := &model.Publication{
		Engine: r.text("engine", req.GetEngine()), Anywhere: req.GetAnywhere(), Partial: req.GetPartial(), Trouble: r.text("trouble", req.GetTrouble()),
		Held: r.texts("held", req.GetHeld()),
	}
	if out.Trouble != "" {
		return &model.Publication{Trouble: out.Trouble}, r.err
	}
	if out.Engine == "" {
		return nil, fmt.Errorf("engine: missing")
	}
	if n := len(req.GetServices()); n > model.MaxPublicationItems {
		return nil, fmt.Errorf("services: %d, want %d at most", n, model.MaxPublicationItems)
	}
	targets := 0
	for _, v := range req.GetServices() {
		if targets += len(v.GetTargets()); targets > model.MaxPublishedTargets {
			return nil, fmt.Errorf("services: more than %d targets", model.MaxPublishedTargets)
		}
		out.Services = append(out.Services, r.service(v))
	}
	if n := len(req.GetProblems()); n > model.MaxPublicationItems {
		return nil, fmt.Errorf("problems: %d, want %d at most", n, model.MaxPublicationItems)
	}
	for _, p := range req.GetProblems() {
		out.Problems = append(out.Problems, model.PublishProblem{
			Service: r.text("service", p.GetService()), Container: r.text("container", p.GetContainer()), Label: r.text("label", p.GetLabel()), Message: r.text("message", p.GetMessage()),
		})
	}
	return out, r.err
}

// reader keeps the first error.
type reader struct{ err error }

func (r *reader) text(field, s string) string {
	if (len(s) > model.MaxPublishText || strings.Contains(s, "\x00")) && r.err == nil {
		r.err = fmt.Errorf("%s: want text of %d bytes at most", field, model.MaxPublishText)
	}
	return s
}

func (r *reader) texts(field string, list []string) []string {
	if len(list) > model.MaxPublicationItems && r.err == nil {
		r.err = fmt.Errorf("%s: %d, want %d at most", field, len(list), model.MaxPublicationItems)
	}
	for _, s := range list {
		r.text(field, s)
	}
	return list
}

func (r *reader) service(v *nodev1.PublishedService) model.PublishedService {
	out := model.PublishedService{
		Name: r.text("name", v.GetName()), Kind: r.text("kind", v.GetKind()), Hostname: r.text("hostname", v.GetHostname()), Pool: r.text("pool", v.GetPool()),
		Ports: r.text("ports", v.GetPorts()), Allow: r.texts("allow", v.GetAllow()), ProxyProtocol: int(v.GetProxyProtocol()), Terminate: v.GetTerminate(),
		Policy: r.text("policy", v.GetPolicy()), Targets: []model.PublishedTarget{},
	}
	for _, t := range v.GetTargets() {
		target := model.PublishedTarget{
			Container: r.text("container", t.GetContainer()), Address: r.text("address", t.GetAddress()), Port: int(t.GetPort()), PathPrefix: r.text("path_prefix", t.GetPathPrefix()),
			Weight: int(t.GetWeight()), Scheme: r.text("scheme", t.GetScheme()), ServerName: r.text("server_name", t.GetServerName()), StripPrefix: t.GetStripPrefix(),
		}
		if h := t.GetHealthCheck(); h != nil {
			target.HealthCheck = &model.PublishedCheck{
				Kind: r.text("health_check.kind", h.GetKind()), Interval: r.text("health_check.interval", h.GetInterval()), Timeout: r.text("health_check.timeout", h.GetTimeout()),
				HealthyThreshold: int(h.GetHealthyThreshold()), UnhealthyThreshold: int(h.GetUnhealthyThreshold()), Method: r.text("health_check.method", h.GetMethod()),
				Path: r.text("health_check.path", h.GetPath()), Host: r.text("health_check.host", h.GetHost()),
				ExpectedStatuses: r.texts("health_check.expected_statuses", h.GetExpectedStatuses()), BodyContains: r.text("health_check.body_contains", h.GetBodyContains()), TLS: h.GetTls(),
			}
		}
		out.Targets = append(out.Targets, target)
	}
	return out
}
