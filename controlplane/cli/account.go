package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// typist reads secrets that somebody types, or the lines of who is no terminal.
type typist struct {
	a     *app
	lines *bufio.Reader
}

const yourPassword = "Your password (empty if you have none)"

func (a *app) typist() *typist { return &typist{a, bufio.NewReader(a.in)} }

func (t *typist) secret(what string) (string, error) {
	fmt.Fprintf(t.a.err, "%s: ", what)
	defer fmt.Fprintln(t.a.err)
	if in, ok := t.a.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		b, err := term.ReadPassword(int(in.Fd()))
		return string(b), err
	}
	line, err := t.lines.ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", fmt.Errorf("%s: %w", strings.ToLower(what), err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// keep writes the new token of the session that has asked, where the one before was.
func (a *app) keep(got typed.Renewal) error {
	if got.Token == "" {
		return nil
	}
	c, err := a.flags.resolve()
	if err != nil {
		return err
	}
	all, err := c.credentials()
	if err != nil {
		return err
	}
	if _, ok := all[c.Server]; !ok { // it came from elsewhere, and is to go there
		a.say("The session has another token. This is shown once:")
		_, err := fmt.Fprintln(a.out, got.Token)
		return err
	}
	all[c.Server] = credential{got.Token, got.ExpiresAt}
	return c.saveCredentials(all)
}

// accountCommand changes what the user who is signed in signs in with.
func (a *app) accountCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "account", Short: "What you sign in with: password, authenticator app, backup codes, passkeys, accounts of providers",
		Long: "What you sign in with. Changes ask for your password: on the terminal, or as a line of standard input.",
	}
	cmd.AddCommand(a.accountShow(), a.accountPassword(), a.accountTOTP(), a.accountPasskeys(), a.accountIdentities(),
		a.withPassword(&cobra.Command{Use: "backup-codes", Short: "Make other backup codes; those before are void", Args: cobra.NoArgs, Example: "  warren account backup-codes"},
			func(ctx context.Context, s *session, _ []string, p typed.Proof) error {
				codes, _, err := s.api.CreateMyBackupCodes(ctx, p)
				if err != nil {
					return err
				}
				return a.showCodes(codes)
			}))
	return cmd
}

func (a *app) accountShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show what you sign in with", Args: cobra.NoArgs, Example: "  warren account show",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			o, _, err := s.api.GetMyAccount(cmd.Context())
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(o)
			}
			for _, l := range []struct {
				what string
				is   any
			}{{"password", o.Password}, {"totp", o.Totp}, {"backup codes", o.BackupCodes}, {"passkeys", o.Passkeys}, {"second factor wanted", o.SecondFactorWanted}} {
				fmt.Fprintf(a.out, "%-21s %v\n", l.what, l.is)
			}
			return nil
		},
	}
}

func (a *app) accountPassword() *cobra.Command {
	return &cobra.Command{
		Use: "password", Short: "Change your password; your other sessions end", Args: cobra.NoArgs, Example: "  warren account password",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			t := a.typist()
			current, err := t.secret(yourPassword)
			if err != nil {
				return err
			}
			next, err := t.secret("The new one")
			if err != nil {
				return err
			}
			again, err := t.secret("Once more")
			if err != nil {
				return err
			}
			if next != again {
				return errors.New("these are two passwords, nothing done")
			}
			got, _, err := s.api.PutMyPassword(cmd.Context(), typed.PasswordBody{CurrentPassword: current, NewPassword: next})
			if err != nil {
				return err
			}
			a.say("Your password is changed, and your other sessions are ended.")
			return a.keep(got)
		},
	}
}

// withPassword makes a command that needs the password.
func (a *app) withPassword(cmd *cobra.Command, do func(ctx context.Context, s *session, args []string, p typed.Proof) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.connect()
		if err != nil {
			return err
		}
		current, err := a.typist().secret(yourPassword)
		if err != nil {
			return err
		}
		return do(cmd.Context(), s, args, typed.Proof{CurrentPassword: current})
	}
	return cmd
}

// saying says what was done, unless it was not.
func (a *app) saying(words string, err error) error {
	if err == nil {
		a.say("%s", words)
	}
	return err
}

func (a *app) showCodes(o typed.BackupCodes) error {
	if a.structured() {
		return a.print(o)
	}
	a.say("Backup codes, each good once in the place of a code; shown this once:")
	for _, c := range o.BackupCodes {
		fmt.Fprintln(a.out, c)
	}
	return nil
}

func (a *app) accountTOTP() *cobra.Command {
	cmd := &cobra.Command{Use: "totp", Short: "Your authenticator app: begin, confirm, remove"}
	begin := a.withPassword(&cobra.Command{Use: "begin", Short: "Show the secret for an authenticator app; confirm it with a code", Args: cobra.NoArgs, Example: "  warren account totp begin"},
		func(ctx context.Context, s *session, _ []string, p typed.Proof) error {
			o, _, err := s.api.BeginMyTotp(ctx, p)
			switch {
			case err != nil:
				return err
			case a.structured():
				return a.print(o)
			}
			a.say("Type this into the app, or give it the address, then: warren account totp confirm CODE")
			_, err = fmt.Fprintf(a.out, "%s\n%s\n", o.Secret, o.URI)
			return err
		})
	remove := a.withPassword(&cobra.Command{Use: "remove", Short: "Remove the app with its backup codes", Args: cobra.NoArgs, Example: "  warren account totp remove"},
		func(ctx context.Context, s *session, _ []string, p typed.Proof) error {
			_, err := s.api.RemoveMyTotp(ctx, p)
			return a.saying("The authenticator app and its backup codes are removed.", err)
		})
	confirm := &cobra.Command{
		Use: "confirm CODE", Short: "Confirm the app with a code that it shows", Args: cobra.ExactArgs(1), Example: "  warren account totp confirm 123456",
		RunE: func(cmd *cobra.Command, args []string) error { return a.confirmTOTP(cmd.Context(), args[0]) },
	}
	cmd.AddCommand(begin, confirm, remove)
	return cmd
}

func (a *app) confirmTOTP(ctx context.Context, code string) error {
	s, err := a.connect()
	if err != nil {
		return err
	}
	got, _, err := s.api.ConfirmMyTotp(ctx, typed.TotpCodeBody{Code: code})
	if err != nil {
		return err
	}
	if err := a.keep(typed.Renewal{Token: got.Token, ExpiresAt: got.ExpiresAt}); err != nil {
		return err
	}
	return a.showCodes(typed.BackupCodes{BackupCodes: got.BackupCodes})
}

// ownPasskeys are a user's. Making one needs a browser.
var ownPasskeys = &kind{name: "Passkey", plural: "passkeys", columns: []string{"id", "created_at", "used_at"}}

func (a *app) accountPasskeys() *cobra.Command {
	cmd := &cobra.Command{Use: "passkey", Short: "Your passkeys: list, rename, remove; one is added in a browser, at /account"}
	list := a.listOf(ownPasskeys, ownOf("passkeys"))
	list.Example = "  warren account passkey list"
	rename := &cobra.Command{
		Use: "rename ID NAME", Short: "Give a passkey another name", Args: cobra.ExactArgs(2), Example: "  warren account passkey rename passkey_01h455vb4pex5vsknk084sn02q laptop",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			_, err = s.api.PutMyPasskey(cmd.Context(), args[0], typed.PasskeyName{Name: args[1]})
			return a.saying("passkey "+args[0]+" renamed", err)
		},
	}
	remove := a.withPassword(&cobra.Command{Use: "remove ID", Short: "Remove a passkey", Args: cobra.ExactArgs(1), Example: "  warren account passkey remove passkey_01h455vb4pex5vsknk084sn02q"},
		func(ctx context.Context, s *session, args []string, p typed.Proof) error {
			_, err := s.api.RemoveMyPasskey(ctx, args[0], p)
			return a.saying("The passkey is removed.", err)
		})
	cmd.AddCommand(list, rename, remove)
	return cmd
}

// ownIdentities are who a user is at providers. Another one needs a browser.
var ownIdentities = &kind{name: "Identity", plural: "identities", columns: []string{"subject", "used_at"}}

func (a *app) accountIdentities() *cobra.Command {
	cmd := &cobra.Command{Use: "identity", Short: "Accounts of providers that sign you in: list, remove; one is added in a browser, at /account"}
	list := a.listOf(ownIdentities, ownOf("identities"))
	list.Example = "  warren account identity list"
	remove := a.withPassword(&cobra.Command{Use: "remove PROVIDER", Short: "Remove the account of a provider", Args: cobra.ExactArgs(1), Example: "  warren account identity remove sso"},
		func(ctx context.Context, s *session, args []string, p typed.Proof) error {
			_, err := s.api.RemoveMyIdentity(ctx, args[0], p)
			return a.saying("That account signs you in no more.", err)
		})
	cmd.AddCommand(list, remove)
	return cmd
}
