package cli

import (
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) brand() *cobra.Command {
	var w waiting
	var name, accent, logo string
	var clear bool
	cmd := &cobra.Command{
		Use: "brand", Short: "Show or say what the pages look like that nodes answer with", Args: cobra.NoArgs,
		Long: "Show what the pages look like that nodes answer with for the organization's services: where visitors are asked who they are, and\n" +
			"where something has failed or rests. With flags, change what they name and leave the rest; an empty value takes it away, --clear all.\n" +
			"The logo is a PNG, JPEG, WebP, GIF or SVG of at most 64 KiB.",
		Example: "  warren org brand --name 'Acme' --accent '#0a5fd7' --logo acme.svg\n  warren org brand --logo ''\n  warren org brand --clear",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			b, _, err := s.api.GetBranding(cmd.Context(), s.org)
			if err != nil {
				return err
			}
			f := cmd.Flags()
			if !f.Changed("name") && !f.Changed("accent") && !f.Changed("logo") && !clear {
				return a.showBrand(b)
			}
			if clear {
				b = typed.BrandSpec{}
			}
			if f.Changed("name") {
				b.Name = name
			}
			if f.Changed("accent") {
				b.Accent = accent
			}
			if f.Changed("logo") {
				if b.Logo = nil; logo != "" {
					if b.Logo, err = os.ReadFile(logo); err != nil {
						return fmt.Errorf("logo: %w", err)
					}
				}
			}
			b, done, err := s.api.PutBranding(cmd.Context(), s.org, b)
			if err != nil {
				return err
			}
			a.say("pages of %s %s", s.org, map[bool]string{true: "changed", false: "unchanged"}[done.Changed])
			if err := w.after(a, cmd, s, done.Revision); err != nil {
				return err
			}
			if a.structured() {
				return a.showBrand(b)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "name", "", "what people know the organization by")
	f.StringVar(&accent, "accent", "", "`colour` of buttons, such as #0a5fd7")
	f.StringVar(&logo, "logo", "", "`file` of the logo")
	f.BoolVar(&clear, "clear", false, "take all of it away")
	w.flags(cmd)
	return cmd
}

func (a *app) showBrand(b typed.BrandSpec) error {
	if a.structured() {
		return a.print(b)
	}
	size := ""
	if len(b.Logo) > 0 {
		size = fmt.Sprintf("%d bytes, %s", len(b.Logo), http.DetectContentType(b.Logo))
	}
	return a.table([]string{"name", "accent", "logo"}, [][]string{{b.Name, b.Accent, size}})
}
