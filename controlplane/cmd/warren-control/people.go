package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/console"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/rest"
	"github.com/warrenedge/warren/controlplane/signin"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/signin/oidc"
	"github.com/warrenedge/warren/controlplane/signin/password"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/visit"
	"github.com/warrenedge/warren/controlplane/web"
	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/daemon"
)

// providerLimit bounds one call to an identity provider.
const providerLimit = 10 * time.Second

// people is where people sign in, if the settings say where that is.
type people struct {
	service *signin.Service // nil: nowhere
	pages   *web.Pages
	tasks   []daemon.Task
}

// newMailer sends what people and alerts say.
func newMailer(cfg *config.Config, log *slog.Logger, reg *prometheus.Registry) (*mail.Mailer, error) {
	o := cfg.Mail.Options()
	o.Log, o.Reg = log, reg
	m, err := mail.New(o)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return m, nil
}

func newPeople(cfg *config.Config, mailer *mail.Mailer, adm *admin.Admin, db *store.Store, sealer *authority.Sealer, visits *visit.Server, limiter *limits.Limiter, log *slog.Logger, reg *prometheus.Registry) (*people, error) {
	base, err := cfg.Pages()
	if err != nil || base == nil {
		return &people{}, err
	}
	p := &people{service: signin.New(signin.Options{
		Store: db, Admin: adm, Sealer: sealer, URL: base, Hasher: password.New(password.Options{Reg: reg}), Limiter: limiter, Mail: mailer,
		OIDC: oidc.New(cfg.Outbound().Client(providerLimit)), Log: log, Reg: reg,
		Audit: func(ctx context.Context, e signin.Event) { adm.Record(ctx, entry(e)) },
	})}
	adm.Inviter = p.service
	p.pages = web.New(web.Options{SignIn: p.service, Visits: &visit.Entrance{Server: visits, Limiter: limiter, Mail: mailer}, URL: base, Cookie: rest.SessionCookie, Log: log, Reg: reg})
	p.tasks = []daemon.Task{p.service}
	return p, nil
}

// entry is what the audit log keeps of an event. Who acts is known only once he has shown who he is: of what was refused
// the user is whom it was about.
func entry(e signin.Event) audit.Entry {
	out := audit.Entry{Actor: "sign-in", Action: e.Action, Result: audit.Done, Detail: e.Detail, Object: e.User.String()}
	if e.Client.Address.IsValid() {
		out.Address = e.Client.Address.String()
	}
	if e.Refused != "" {
		out.Result, out.Detail = audit.Refused, strings.TrimSpace(e.Detail+" "+e.Refused)
	} else if !e.User.IsZero() {
		out.Actor = "user:" + e.User.String()
	}
	return out
}

// api is the service for the API, which knows nil.
func (p *people) api() rest.SignIn {
	if p.service == nil {
		return nil
	}
	return p.service
}

// handler gives the API its paths, and the pages all others.
func (p *people) handler(api, operators http.Handler) http.Handler {
	if p.pages == nil {
		return api
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, own := range []string{"/api/", "/debug/", "/healthz", "/readyz"} {
			if strings.HasPrefix(r.URL.Path, own) {
				api.ServeHTTP(w, r)
				return
			}
		}
		if r.URL.Path == console.Root || strings.HasPrefix(r.URL.Path, console.Root+"/") {
			operators.ServeHTTP(w, r)
			return
		}
		p.pages.ServeHTTP(w, r)
	})
}

// console adds the operators' pages to those where people sign in; nil without these.
func (p *people) console(cfg *config.Config, o console.Options) http.Handler {
	if p.pages == nil {
		return nil
	}
	o.Gate, o.Cookie, o.Control = p.pages, rest.SessionCookie, cfg.PushAt()
	c := console.New(o)
	p.pages.Home = c.Home
	p.tasks = append(p.tasks, c)
	return c
}

// sayWhereToSignIn tells nodes where to send visitors of services. Without a URL it stays as another replica has said.
func sayWhereToSignIn(ctx context.Context, cfg *config.Config, db *store.Store) error {
	base, err := cfg.Pages()
	if err != nil || base == nil {
		return err
	}
	_, err = db.Tx(ctx, "settings", func(tx *store.Tx) error {
		return tx.SetSignInURL(ctx, (&url.URL{Scheme: base.Scheme, Host: base.Host}).String())
	})
	return err
}

// handOverSetup gives the operator of a fresh cluster the link with which he becomes its first administrator.
func handOverSetup(ctx context.Context, cfg *config.Config, db *store.Store, fresh bool, out io.Writer, log *slog.Logger) error {
	base, err := cfg.Pages()
	if err != nil || base == nil || !fresh {
		return err
	}
	token, err := signin.NewSetupToken(ctx, db)
	if err != nil {
		return err
	}
	link := setupLink(base, token)
	if cfg.SetupTokenFile != "" {
		err := atomicfile.Write(cfg.SetupTokenFile, []byte(link+"\n"))
		if err == nil {
			log.Info("setup link written", "file", cfg.SetupTokenFile)
			return nil
		}
		log.Error("setup_token_file can't be written, the link goes to standard output", "err", err)
	}
	_, err = fmt.Fprintf(out, "Become the first administrator here, once, within a day:\n%s\n", link)
	return err
}

func setupLink(base *url.URL, token string) string {
	u := *base
	u.Path, u.RawQuery = signin.PathSetup, url.Values{"token": {token}}.Encode()
	return u.String()
}

// setupToken makes another link while there is no administrator. Those before are void.
func setupToken(load func() (*config.Config, error)) *cobra.Command {
	return &cobra.Command{
		Use: "setup-token", Short: "Print a link with which the first administrator is made, while there is none", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load()
			if err != nil {
				return err
			}
			base, err := cfg.Pages()
			if err == nil && base == nil {
				err = errors.New("url: missing: it is where people sign in")
			}
			if err != nil {
				return usage{err}
			}
			db, err := store.Open(cmd.Context(), cfg.DatabaseURL.Reveal(), store.Options{Log: cfg.Logger(os.Stderr)})
			if err != nil {
				return err
			}
			defer db.Close()
			token, err := signin.NewSetupToken(cmd.Context(), db)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), setupLink(base, token))
			return err
		},
	}
}
