package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/audit"
)

// maxAuditLine bounds a line of an export.
const maxAuditLine = 1 << 20

func (a *app) auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Show what was done, and verify that nobody has changed that"}
	var org bool
	list := &cobra.Command{
		Use: "list", Short: "List the audit log", Args: cobra.NoArgs, Example: "  warren audit list\n  warren audit list --mine --org acme",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			log := &kind{name: "AuditEntry", plural: "audit", org: org, columns: []string{"seq", "at", "actor_name", "action", "object_name", "result"}, wide: []string{"actor", "address", "object", "revision", "detail"}}
			items, err := s.of(log).List(cmd.Context(), typed.Listing{})
			if err != nil {
				return err
			}
			return a.objects(log, items, false)
		},
	}
	list.Flags().BoolVar(&org, "mine", false, "of the organization only")
	export := &cobra.Command{
		Use: "export", Short: "Write the audit log and its anchors as lines of JSON", Args: cobra.NoArgs, Example: "  warren audit export > audit.ndjson",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			w := bufio.NewWriter(a.out)
			err = s.auditLines(cmd.Context(), func(line []byte) error {
				_, err := w.Write(append(line, '\n'))
				return err
			})
			return errors.Join(err, w.Flush())
		},
	}
	var against []string
	verify := &cobra.Command{
		Use: "verify [FILE]", Short: "Verify the audit log, or an export of it", Args: cobra.MaximumNArgs(1),
		Long: "Verify that each entry is the one that was written, that none is missing, and that the log reaches and agrees with all anchors,\n" +
			"whose signatures are the cluster's. Earlier exports are compared with it by --against: what they hold must still be so.",
		Example: "  warren audit verify --against audit-2026-11.ndjson",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verifyAudit(cmd.Context(), args, against)
		},
	}
	verify.Flags().StringSliceVar(&against, "against", nil, "earlier export `file`, kept elsewhere")
	cmd.AddCommand(list, export, verify)
	return cmd
}

// auditLines yields the log and then its anchors, as lines of an export. The anchors are asked for first: none of them is of an entry
// that came after the log was read.
func (s *session) auditLines(ctx context.Context, yield func(line []byte) error) error {
	anchors, err := s.api.Objects("audit-anchors", "").List(ctx, typed.Listing{})
	if err != nil {
		return err
	}
	entries, err := s.api.Objects("audit", "").List(ctx, typed.Listing{})
	if err != nil {
		return err
	}
	for _, of := range []struct {
		as    string
		items []json.RawMessage
	}{{"entry", entries}, {"anchor", anchors}} {
		for _, item := range of.items {
			var line bytes.Buffer
			if err := json.Compact(&line, item); err != nil {
				return err
			}
			if err := yield(fmt.Appendf(nil, `{"%s":%s}`, of.as, line.Bytes())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) verifyAudit(ctx context.Context, args, against []string) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	signer, err := s.identityAuthority(ctx)
	if err != nil {
		return err
	}
	var v audit.Verifier
	var entries []*audit.Entry
	// What is known of the log: anchors, and of what is compared with it each entry as well.
	take := func(from string, log bool) func(line []byte) error {
		return func(line []byte) error {
			l, err := audit.ParseLine(line)
			switch {
			case err != nil:
			case l.Anchor != nil:
				if err = l.Anchor.Verify(signer); err == nil {
					err = v.Expect(l.Anchor.Head)
				}
			case log:
				entries = append(entries, l.Entry)
			default:
				err = v.Expect(audit.Head{Seq: l.Entry.Seq, Hash: l.Entry.Hash})
			}
			if err != nil {
				return fmt.Errorf("%s: %w", from, err)
			}
			return nil
		}
	}
	for _, f := range against {
		if err := fileLines(f, take(f, false)); err != nil {
			return err
		}
	}
	if len(args) == 1 {
		err = fileLines(args[0], take(args[0], true))
	} else {
		err = s.auditLines(ctx, take("the audit log", true))
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := v.Next(e); err != nil {
			return err
		}
	}
	if err := v.Finish(); err != nil {
		return err
	}
	seq, hash, known := v.Head()
	if a.structured() {
		return a.print(map[string]any{"entries": seq, "hash": hash, "known": known})
	}
	a.say("%d entries, none changed or missing; %d of them known from anchors and earlier exports. The last hash is %s", seq, known, hash)
	return nil
}

func fileLines(name string, yield func(line []byte) error) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return lines(f, yield)
}

func lines(r io.Reader, yield func(line []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxAuditLine)
	for s.Scan() {
		if err := yield(s.Bytes()); err != nil {
			return err
		}
	}
	return s.Err()
}

// identityAuthority is what signs anchors.
func (s *session) identityAuthority(ctx context.Context) (*x509.Certificate, error) {
	list, _, err := s.api.ListAuthorities(ctx, typed.ListAuthoritiesParams{})
	if err != nil {
		return nil, err
	}
	for _, i := range list.Items {
		if b, _ := pem.Decode([]byte(i.CertificatePEM)); i.Kind == "identity" && b != nil {
			return x509.ParseCertificate(b.Bytes)
		}
	}
	return nil, errors.New("the cluster shows no identity authority")
}
