package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// publishRow is what a site may publish as its column has it. Fields are only added; one that is not there is zero.
type publishRow struct {
	Hostnames []string `json:"hostnames,omitempty"`
	Ports     []string `json:"ports,omitempty"`
}

// publishDocument is what a site may publish as it is stored; nil: nothing.
func publishDocument(p *model.Publish) ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	r := publishRow{Hostnames: p.Hostnames}
	for _, ports := range p.Ports {
		r.Ports = append(r.Ports, ports.String())
	}
	b, err := json.Marshal(r)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Msg: "publish", Err: err}
	}
	return b, nil
}

// publish reads what a site may publish. What was written by hand and makes no sense permits nothing.
func publish(b []byte) *model.Publish {
	var r publishRow
	if b == nil || json.Unmarshal(b, &r) != nil {
		return nil
	}
	p := &model.Publish{Hostnames: orNil(r.Hostnames)}
	for _, text := range r.Ports {
		if ports, err := model.ParsePorts(text); err == nil {
			p.Ports = append(p.Ports, ports)
		}
	}
	return p
}

// publicationRow is a publication as its column has it.
type publicationRow struct {
	Engine   string                   `json:"engine,omitempty"`
	Anywhere bool                     `json:"anywhere,omitempty"`
	Partial  bool                     `json:"partial,omitempty"`
	Services []model.PublishedService `json:"services,omitempty"`
	Held     []string                 `json:"held,omitempty"`
	Problems []model.PublishProblem   `json:"problems,omitempty"`
}

// PutPublication writes what a connector says, in place of what it said before. It takes no revision.
func (t *Tx) PutPublication(ctx context.Context, p *model.Publication) error {
	b, err := json.Marshal(publicationRow{p.Engine, p.Anywhere, p.Partial, p.Services, p.Held, p.Problems})
	if err != nil {
		return &fault.Error{Kind: fault.Internal, Msg: "publication", Err: err}
	}
	return classify(t.q.PutPublication(ctx, db.PutPublicationParams{ConnectorID: p.Connector.UUID, OrgID: p.Org.UUID, SiteID: p.Site.UUID, Said: b}), "write publication")
}

// PutTrouble writes why a connector can't say anything now; what it said last stands.
func (t *Tx) PutTrouble(ctx context.Context, p *model.Publication) error {
	return classify(t.q.PutTrouble(ctx, db.PutTroubleParams{ConnectorID: p.Connector.UUID, OrgID: p.Org.UUID, SiteID: p.Site.UUID, Trouble: p.Trouble}), "write publication")
}

// DeletePublication forgets what a connector has said, and reports whether it had said anything.
func (t *Tx) DeletePublication(ctx context.Context, id model.ConnectorID) (bool, error) {
	n, err := t.q.DeletePublication(ctx, id.UUID)
	return n > 0, classify(err, "delete publication")
}

// ListPublications returns what the connectors of a site say, by when they began to.
func (t *Tx) ListPublications(ctx context.Context, site model.SiteID) ([]*model.Publication, error) {
	rows, err := t.q.ListPublications(ctx, site.UUID)
	if err != nil {
		return nil, classify(err, "list publications")
	}
	var out []*model.Publication
	for _, r := range rows {
		var said publicationRow
		if err := json.Unmarshal(r.Said, &said); err != nil {
			return nil, fmt.Errorf("publication of connector %s: %w", r.Name, err)
		}
		out = append(out, &model.Publication{
			Connector: model.ConnectorID{UUID: r.ConnectorID}, Org: model.OrgID{UUID: r.OrgID}, Site: model.SiteID{UUID: r.SiteID}, Name: r.Name,
			Engine: said.Engine, Anywhere: said.Anywhere, Partial: said.Partial, Trouble: r.Trouble,
			Services: said.Services, Held: said.Held, Problems: said.Problems, Said: r.SaidAt, Meta: model.Meta{Created: r.CreatedAt, Updated: r.SaidAt},
		})
	}
	return out, nil
}

// publishedRow is what became of it as its column has it.
type publishedRow struct {
	Services []string               `json:"services,omitempty"`
	Problems []model.PublishProblem `json:"problems,omitempty"`
}

// PutPublished writes what became of what the connectors of a site ask for. It takes no revision.
func (t *Tx) PutPublished(ctx context.Context, p *model.Published) error {
	b, err := json.Marshal(publishedRow{p.Services, p.Problems})
	if err != nil {
		return &fault.Error{Kind: fault.Internal, Msg: "published", Err: err}
	}
	return classify(t.q.PutPublished(ctx, db.PutPublishedParams{SiteID: p.Site.UUID, OrgID: p.Org.UUID, Shown: b}), "write published")
}

// GetPublished returns what became of what the connectors of a site ask for; NotFound if they never asked for anything.
func (t *Tx) GetPublished(ctx context.Context, site model.SiteID) (*model.Published, error) {
	r, err := t.q.GetPublished(ctx, site.UUID)
	if err != nil {
		return nil, classify(err, "published")
	}
	var shown publishedRow
	if err := json.Unmarshal(r.Shown, &shown); err != nil {
		return nil, fmt.Errorf("published of site %s: %w", site, err)
	}
	return &model.Published{Site: site, Org: model.OrgID{UUID: r.OrgID}, Services: shown.Services, Problems: shown.Problems}, nil
}

// DeletePublished forgets it: nobody asks for anything any more.
func (t *Tx) DeletePublished(ctx context.Context, site model.SiteID) error {
	_, err := t.q.DeletePublished(ctx, site.UUID)
	return classify(err, "delete published")
}

// Attempt runs fn as a part that may come to nothing: what it wrote is taken back if it fails, and the transaction goes on.
// An error that lets the transaction run again, or that is the database's own, is for the caller to return.
func (t *Tx) Attempt(ctx context.Context, fn func() error) error {
	if _, err := t.tx.Exec(ctx, "SAVEPOINT attempt"); err != nil {
		return err
	}
	entries := len(t.entries)
	err := fn()
	if err != nil {
		t.entries = t.entries[:entries]
		if _, undone := t.tx.Exec(ctx, "ROLLBACK TO SAVEPOINT attempt"); undone != nil {
			return undone
		}
	}
	if _, ended := t.tx.Exec(ctx, "RELEASE SAVEPOINT attempt"); ended != nil {
		return ended
	}
	return err
}
