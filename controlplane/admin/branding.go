package admin

import (
	"context"
	"errors"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/brand"
)

// BrandSpec is what pages look like that nodes answer with for an organization's services: to sign in, to say what failed or
// rests.
type BrandSpec struct {
	Name   string `json:"name,omitempty" maxLength:"64" doc:"That people know the organization by; no name is shown if absent"`
	Accent string `json:"accent,omitempty" example:"#0a5fd7" doc:"Colour of buttons and of the line at the top, #rrggbb in small letters; what is written on it is black or white, whichever is read better"`
	Logo   []byte `json:"logo,omitempty" maxLength:"87384" doc:"PNG, JPEG, WebP, GIF or SVG of at most 64 KiB, in base64; none is shown if absent"`
}

// Branding returns what an organization's pages look like.
func (a *Admin) Branding(ctx context.Context, p access.Principal, org string) (out BrandSpec, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := c.organization(org, access.BrandingRead); err != nil {
			return err
		}
		o, err := c.tx.GetOrganization(c, c.org)
		if err == nil {
			out = BrandSpec(o.Brand)
		}
		return err
	})
	return out, err
}

// SetBranding changes it. The revision is zero if it was so already.
func (a *Admin) SetBranding(ctx context.Context, p access.Principal, org string, s BrandSpec) (BrandSpec, model.Revision, error) {
	b := brand.Brand(s)
	if len(b.Logo) == 0 {
		b.Logo = nil
	}
	if err := b.Check(); err != nil {
		if f, ok := errors.AsType[*brand.FieldError](err); ok {
			return BrandSpec{}, 0, fault.Field(f.Field, "%s", f.Problem)
		}
		return BrandSpec{}, 0, err
	}
	rev, err := a.write(ctx, p, action("branding", "update"), func(c *call) error {
		if err := c.organization(org, access.BrandingWrite); err != nil {
			return err
		}
		c.did(c.org.String(), org)
		_, err := c.tx.BrandOrganization(c, c.org, b)
		return err
	})
	return BrandSpec(b), rev, err
}
