package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) certCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cert", Aliases: []string{"certs", "certificate"}, Short: "Certificates: those that are kept by orders, and those that were uploaded",
		Long: "Certificates. With an issuer (warren create issuer) the control plane orders one for each domain with a service in it, apex and\n" +
			"wildcard together, and one for each hostname beside those, and renews them. Without one the cluster's own authority signs.",
	}
	cmd.AddCommand(a.certList(), a.certDescribe(), a.certRenew(), a.certConfigure(), a.certUpload(), a.certRevoke())
	return cmd
}

func (a *app) certList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show what is kept in certificates, and how that is going", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k, err := findKind("managed-certificates")
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			items, err := s.of(k).List(cmd.Context(), typed.Listing{})
			if err != nil {
				return err
			}
			return a.objects(k, items, false)
		},
	}
}

func (a *app) certDescribe() *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show one, by a name in it or its id: state, next attempt, the authority's words, timeline", Args: cobra.ExactArgs(1),
		Example: "  warren cert describe '*.example.org'",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			m, _, err := s.api.GetManagedCertificate(cmd.Context(), s.org, args[0])
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(m)
			}
			return describeManaged(a.out, m)
		},
	}
}

func describeManaged(out io.Writer, m typed.Managed) error {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-13s %s\n", key, value)
		}
	}
	line("Names", strings.Join(m.Names, ", "))
	line("State", m.State)
	line("Key", strings.TrimSpace(m.KeyType+" "+m.Profile))
	if len(m.Keys) > 1 {
		line("Keys", strings.Join(m.Keys, ", ")+", a certificate for each")
	}
	line("Certificate", m.Certificate)
	line("Not after", stamp(&m.NotAfter))
	line("Renewal", stamp(&m.RenewAt))
	line("Next attempt", stamp(&m.NextAttempt))
	line("Waits for", m.WaitsFor)
	line("Last problem", m.LastProblem)
	line("Domain", found(m))
	for _, r := range m.Revocations {
		who := ""
		if r.AskedBy != "" {
			who = " by " + r.AskedBy
		}
		fmt.Fprintf(&b, "\nRevocation of %s: %s, asked for at %s%s\n", r.Certificate, r.Reason, stamp(&r.AskedAt), who)
		if !r.RevokedAt.IsZero() {
			fmt.Fprintf(&b, "  revoked at %s\n", stamp(&r.RevokedAt))
		} else {
			fmt.Fprintf(&b, "  not revoked yet, next attempt %s\n", stamp(&r.NextAttempt))
		}
		if r.Problem != "" {
			fmt.Fprintf(&b, "  %s\n", r.Problem)
		}
	}
	for _, o := range m.Orders {
		fmt.Fprintf(&b, "\nOrder %s at %s: %s\n", o.ID, firstOf(o.Issuer, "an issuer that is no more"), o.State)
		if o.URL != "" {
			fmt.Fprintf(&b, "  %s\n", o.URL)
		}
		for _, e := range o.Events {
			fmt.Fprintf(&b, "  %s  %-18s %s\n", stamp(&e.At), e.State, e.What)
			if e.Problem != "" {
				fmt.Fprintf(&b, "  %-20s  %-18s %s\n", "", "", e.Problem)
			}
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// found says what is known of the domain.
func found(m typed.Managed) string {
	f := m.Found
	switch {
	case f == nil:
		return ""
	case f.FoundAt.IsZero():
		return f.Domain + " could not be asked about yet: " + f.Problem
	}
	text := f.Domain + " can be proved in the DNS"
	if !f.Delegated {
		text = f.Domain + " is not delegated to the nodes"
		if len(f.Provable) > 0 {
			text += "; each hostname has a certificate of its own, as these lead here: " + strings.Join(f.Provable, ", ")
		}
	}
	text += " (found " + stamp(&f.FoundAt)
	if f.Problem != "" {
		text += "; asked since, without success: " + f.Problem
	}
	return text + ")"
}

func stamp(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *app) certRenew() *cobra.Command {
	var wait bool
	var limit time.Duration
	cmd := &cobra.Command{
		Use: "renew NAME", Short: "Order anew now, by a name in the certificate or its id", Args: cobra.ExactArgs(1),
		Long: "Order a certificate anew now, whatever its next attempt was. What there is is served until every node has the new one.\n" +
			"With --wait it returns when there is a new one, and exits with 4 when that takes longer than --timeout; the order goes on.",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			before, _, err := s.api.GetManagedCertificate(cmd.Context(), s.org, args[0])
			if err != nil {
				return err
			}
			now, _, err := s.api.RenewManagedCertificate(cmd.Context(), s.org, before.ID)
			if err != nil {
				return err
			}
			a.say("%s is to be ordered now", strings.Join(before.Names, ", "))
			if wait {
				if now, err = a.renewed(cmd.Context(), s, before, limit); err != nil {
					return err
				}
			}
			if a.structured() {
				return a.print(now)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "return only when there is a new certificate")
	cmd.Flags().DurationVar(&limit, "timeout", 2*time.Minute, "how long to wait")
	return cmd
}

// renewed waits for another certificate than the one before, and says what happens until then.
func (a *app) renewed(ctx context.Context, s *session, before typed.Managed, limit time.Duration) (typed.Managed, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	begin, said, m := time.Now(), "", before
	for {
		now, _, err := s.api.GetManagedCertificate(ctx, s.org, before.ID)
		switch {
		case err == nil:
			m = now
		case ctx.Err() == nil && !apiclient.Passes(err): // else a replica ends, and the order goes on at another
			return now, err
		}
		word := m.LastProblem
		if len(m.Orders) > 0 {
			word = strings.TrimSpace(m.Orders[0].State + " " + m.Orders[0].Problem)
		}
		if m.WaitsFor != "" {
			word = "it can't be ordered: " + m.WaitsFor
		}
		if err != nil && ctx.Err() == nil {
			word = "the control plane does not answer, it is asked again: " + err.Error()
		}
		if word != said && word != "" {
			a.say("%6s  %s", seconds(time.Since(begin)), word)
			said = word
		}
		if m.Certificate != "" && m.Certificate != before.Certificate {
			return m, nil
		}
		select {
		case <-ctx.Done():
			a.say("there is no new certificate yet, the order goes on; next attempt %s", stamp(&m.NextAttempt))
			return m, errNotReady
		case <-tick.C:
		}
	}
}

func (a *app) certConfigure() *cobra.Command {
	var body typed.ManagedSpec
	cmd := &cobra.Command{
		Use: "configure NAME", Short: "Say of what kind a certificate is to be; one of another kind is replaced", Args: cobra.ExactArgs(1),
		Long:    "Say of what kind a certificate is to be. What is not given is as by default; a certificate that is of another kind is\nordered anew at once.",
		Example: "  warren cert configure example.org --keys ecdsa,rsa --profile short",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			m, _, err := s.api.PutManagedCertificate(cmd.Context(), s.org, args[0], body)
			if err != nil {
				return err
			}
			a.say("%s configured", args[0])
			if a.structured() {
				return a.print(m)
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&body.Keys, "keys", nil, "ecdsa, rsa or both, with a certificate for each (default ecdsa)")
	cmd.Flags().StringVar(&body.KeyType, "key-type", "", "the one type of key, instead of --keys")
	cmd.MarkFlagsMutuallyExclusive("keys", "key-type")
	cmd.Flags().StringVar(&body.Profile, "profile", "", "one of the issuer's profiles (default: the issuer's default)")
	cmd.Flags().StringVar(&body.Issuer, "issuer", "", "the only issuer to order from (default: the first that may issue, by rank)")
	return cmd
}

func (a *app) certUpload() *cobra.Command {
	var chain, key string
	var w waiting
	cmd := &cobra.Command{
		Use: "upload --cert FILE --key FILE", Short: "Add a certificate that was made elsewhere", Args: cobra.NoArgs,
		Long: "Add a certificate that was made elsewhere: PEM files with the chain, in any order, and its private key. It is served for the\n" +
			"services whose hostnames it carries as long as it is the one that lasts longest. Nobody renews it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var body typed.UploadSpec
			for _, f := range []struct {
				file string
				to   *string
			}{{chain, &body.Chain}, {key, &body.Key}} {
				b, err := os.ReadFile(f.file)
				if err != nil {
					return err
				}
				*f.to = string(b)
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			c, made, err := s.api.UploadCertificate(cmd.Context(), s.org, body)
			if err != nil {
				return err
			}
			a.say("certificate %s of %s added", c.ID, strings.Join(c.Names, ", "))
			if a.structured() {
				if err := a.print(c); err != nil {
					return err
				}
			}
			return w.after(a, cmd, s, made.Revision)
		},
	}
	cmd.Flags().StringVar(&chain, "cert", "", "PEM `file` of the certificate and its intermediates")
	cmd.Flags().StringVar(&key, "key", "", "PEM `file` of the private key")
	_ = cmd.MarkFlagRequired("cert")
	_ = cmd.MarkFlagRequired("key")
	w.flags(cmd)
	return cmd
}
