package publish

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/identity"
)

// publisher keeps what it is told.
type publisher struct {
	said      *model.Publication
	withdrawn model.ConnectorID
	err       error
}

func (p *publisher) Publish(_ context.Context, _ model.ConnectorID, said *model.Publication) (*model.Published, error) {
	if p.said = said; p.err != nil {
		return nil, p.err
	}
	return &model.Published{Services: []string{"shop"}, Problems: []model.PublishProblem{{Service: "wiki", Container: "w", Label: "l", Message: "m"}}}, nil
}

func (p *publisher) Withdraw(_ context.Context, id model.ConnectorID) error {
	p.withdrawn = id
	return p.err
}

func serverFor(to Publisher, who identity.Identity) *Server {
	return New(to, func(ctx context.Context) (identity.Identity, context.Context, error) { return who, ctx, nil }, slog.New(slog.DiscardHandler))
}

func TestPublish(t *testing.T) {
	id := model.ConnectorID{}.New()
	to := &publisher{}
	s := serverFor(to, identity.Identity{Kind: identity.Connector, ID: id.String()})
	got, err := s.Publish(t.Context(), &nodev1.PublishRequest{
		Engine: "e", Anywhere: true, Partial: true, Held: []string{"h"}, Problems: []*nodev1.PublishProblem{{Service: "h", Container: "c", Label: "l", Message: "m"}},
		Services: []*nodev1.PublishedService{{
			Name: "shop", Kind: "http", Hostname: "a.b", Pool: "p", Ports: "1", Allow: []string{"::/0"}, ProxyProtocol: 2, Terminate: true, Policy: "staff",
			Targets: []*nodev1.PublishedTarget{{
				Container: "c", Address: "10.0.0.1", Port: 80, PathPrefix: "/a", Weight: 3, Scheme: "https", ServerName: "s", StripPrefix: true,
				HealthCheck: &nodev1.PublishedCheck{
					Kind: "http", Interval: "1s", Timeout: "2s", HealthyThreshold: 1, UnhealthyThreshold: 2, Method: "GET", Path: "/", Host: "h",
					ExpectedStatuses: []string{"200"}, BodyContains: "b", Tls: true,
				},
			}},
		}},
	})
	if err != nil || len(got.GetServices()) != 1 || len(got.GetProblems()) != 1 || got.GetProblems()[0].GetLabel() != "l" {
		t.Fatalf("%v, %v", got, err)
	}
	want := &model.Publication{
		Engine: "e", Anywhere: true, Partial: true, Held: []string{"h"}, Problems: []model.PublishProblem{{Service: "h", Container: "c", Label: "l", Message: "m"}},
		Services: []model.PublishedService{{
			Name: "shop", Kind: "http", Hostname: "a.b", Pool: "p", Ports: "1", Allow: []string{"::/0"}, ProxyProtocol: 2, Terminate: true, Policy: "staff",
			Targets: []model.PublishedTarget{{
				Container: "c", Address: "10.0.0.1", Port: 80, PathPrefix: "/a", Weight: 3, Scheme: "https", ServerName: "s", StripPrefix: true,
				HealthCheck: &model.PublishedCheck{
					Kind: "http", Interval: "1s", Timeout: "2s", HealthyThreshold: 1, UnhealthyThreshold: 2, Method: "GET", Path: "/", Host: "h",
					ExpectedStatuses: []string{"200"}, BodyContains: "b", TLS: true,
				},
			}},
		}},
	}
	if diff := cmp.Diff(want, to.said); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Publish(t.Context(), &nodev1.PublishRequest{Trouble: "away", Services: []*nodev1.PublishedService{{Name: "x"}}}); err != nil {
		t.Error(err)
	} else if diff := cmp.Diff(&model.Publication{Trouble: "away"}, to.said); diff != "" {
		t.Errorf("of trouble nothing else counts:\n%s", diff)
	}
	if _, err := s.Publish(t.Context(), &nodev1.PublishRequest{Withdrawn: true}); err != nil || to.withdrawn != id {
		t.Errorf("withdrawn %v, %v", to.withdrawn, err)
	}
}

func TestRefused(t *testing.T) {
	connector, node := model.ConnectorID{}.New().String(), model.NodeID{}.New().String()
	fine := &nodev1.PublishRequest{Engine: "e"}
	many := &nodev1.PublishRequest{Engine: "e"}
	for range model.MaxPublicationItems + 1 {
		many.Services = append(many.Services, &nodev1.PublishedService{})
	}
	crowded := &nodev1.PublishRequest{Engine: "e", Services: []*nodev1.PublishedService{{}}}
	for range model.MaxPublishedTargets + 1 {
		crowded.Services[0].Targets = append(crowded.Services[0].Targets, &nodev1.PublishedTarget{})
	}
	for _, tt := range []struct {
		name string
		who  identity.Identity
		req  *nodev1.PublishRequest
		err  error
		code codes.Code
		says string
	}{
		{"a node", identity.Identity{Kind: identity.Node, ID: node}, fine, nil, codes.PermissionDenied, "only connectors publish"},
		{"no engine", identity.Identity{Kind: identity.Connector, ID: connector}, &nodev1.PublishRequest{}, nil, codes.InvalidArgument, "engine: missing"},
		{"many services", identity.Identity{Kind: identity.Connector, ID: connector}, many, nil, codes.InvalidArgument, "services: 501, want 500 at most"},
		{"many targets", identity.Identity{Kind: identity.Connector, ID: connector}, crowded, nil, codes.InvalidArgument, "services: more than 2000 targets"},
		{"a long text", identity.Identity{Kind: identity.Connector, ID: connector}, &nodev1.PublishRequest{Engine: "e", Services: []*nodev1.PublishedService{{Policy: strings.Repeat("x", 1025)}}}, nil, codes.InvalidArgument, "policy: want text of 1024 bytes at most"},
		{"a zero byte", identity.Identity{Kind: identity.Connector, ID: connector}, &nodev1.PublishRequest{Engine: "e\x00"}, nil, codes.InvalidArgument, "engine: want text"},
		{"revoked meanwhile", identity.Identity{Kind: identity.Connector, ID: connector}, fine, fault.New(fault.Denied, "not trusted"), codes.PermissionDenied, "not trusted"},
		{"no database", identity.Identity{Kind: identity.Connector, ID: connector}, fine, fault.New(fault.Unavailable, "down"), codes.Unavailable, "try again"},
		{"an error of ours", identity.Identity{Kind: identity.Connector, ID: connector}, fine, errors.New("secret"), codes.Internal, "not published"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := serverFor(&publisher{err: tt.err}, tt.who).Publish(t.Context(), tt.req)
			if status.Code(err) != tt.code || !strings.HasPrefix(status.Convert(err).Message(), tt.says) {
				t.Errorf("%v, want %s: %s", err, tt.code, tt.says)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	b, _ := proto.Marshal(&nodev1.PublishRequest{Engine: "e", Services: []*nodev1.PublishedService{{Name: "a", Targets: []*nodev1.PublishedTarget{{HealthCheck: &nodev1.PublishedCheck{}}}}}})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		req := &nodev1.PublishRequest{}
		if proto.Unmarshal(b, req) != nil {
			return
		}
		p, err := read(req)
		if err != nil {
			return
		}
		if p.Trouble == "" && p.Engine == "" || strings.Contains(p.Engine+p.Trouble, "\x00") || len(p.Services) > model.MaxPublicationItems {
			t.Errorf("%+v", p)
		}
	})
}
