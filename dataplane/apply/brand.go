package apply

import (
	"fmt"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/page"
	"github.com/warrenedge/warren/shared/brand"
	"github.com/warrenedge/warren/shared/resource"
)

// decodeBrand draws what is in all pages of an organization.
func decodeBrand(m *nodev1.Brand) (*page.Look, error) {
	if err := required("organization_id", m.GetOrganizationId()); err != nil {
		return nil, err
	}
	b := brand.Brand{Name: m.GetName(), Accent: m.GetAccent(), Logo: m.GetLogo()}
	if err := b.Check(); err != nil {
		return nil, fmt.Errorf("organization %s: %w", m.GetOrganizationId(), err)
	}
	return page.NewLook(b), nil
}

// look is that of an organization's pages; nil: the node's own.
func look(l *ledger, org string) *page.Look {
	v, _ := l.good[resource.Brand][resource.Name("brand", org)].value.(*page.Look)
	return v
}
