package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// typist reads secrets that somebody types, or the lines of who is no terminal.
type typist struct {
	a     *app
	lines *bufio.Reader
}

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

// renewedSession is what an answer says of the session that has asked.
type renewedSession struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires_at"`
}

// keep writes the session's new token where the one before was.
func (a *app) keep(got renewedSession) error {
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
	all[c.Server] = credential(got)
	return c.saveCredentials(all)
}

// accountCommand changes what the user who is signed in signs in with.
func (a *app) accountCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "account", Short: "What you sign in with: password, authenticator app, backup codes, passkeys",
		Long: "What you sign in with. Changes ask for your password: on the terminal, or as a line of standard input.",
	}
	cmd.AddCommand(a.accountShow(), a.accountPassword(), a.accountTOTP(), a.accountPasskeys(),
		a.withPassword(&cobra.Command{Use: "backup-codes", Short: "Make other backup codes; those before are void", Args: cobra.NoArgs, Example: "  warren account backup-codes"},
			http.MethodPost, func([]string) string { return "backup-codes" }, a.showCodes))
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
			var o map[string]any
			if _, err := s.Do(cmd.Context(), http.MethodGet, "/api/v1/me/account", nil, &o); err != nil {
				return err
			}
			if a.structured() {
				return a.print(o)
			}
			for _, name := range []string{"password", "totp", "backup_codes", "passkeys", "second_factor_wanted"} {
				fmt.Fprintf(a.out, "%-21s %v\n", strings.ReplaceAll(name, "_", " "), o[name])
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
			current, err := t.secret("Your password (empty if you have none)")
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
			var got renewedSession
			if _, err := s.Do(cmd.Context(), http.MethodPut, "/api/v1/me/password", map[string]string{"current_password": current, "new_password": next}, &got); err != nil {
				return err
			}
			a.say("Your password is changed, and your other sessions are ended.")
			return a.keep(got)
		},
	}
}

// withPassword makes a command that needs the password.
func (a *app) withPassword(cmd *cobra.Command, method string, path func(args []string) string, show func(o map[string]any) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.connect()
		if err != nil {
			return err
		}
		current, err := a.typist().secret("Your password (empty if you have none)")
		if err != nil {
			return err
		}
		var o map[string]any
		if _, err := s.Do(cmd.Context(), method, "/api/v1/me/"+path(args), map[string]string{"current_password": current}, &o); err != nil {
			return err
		}
		return show(o)
	}
	return cmd
}

// saying shows that something was done.
func (a *app) saying(format string) func(map[string]any) error {
	return func(map[string]any) error { a.say("%s", format); return nil }
}

func (a *app) showCodes(o map[string]any) error {
	if a.structured() {
		return a.print(o)
	}
	a.say("Backup codes, each good once in the place of a code; shown this once:")
	codes, _ := o["backup_codes"].([]any)
	for _, c := range codes {
		fmt.Fprintln(a.out, c)
	}
	return nil
}

func (a *app) accountTOTP() *cobra.Command {
	cmd := &cobra.Command{Use: "totp", Short: "Your authenticator app: begin, confirm, remove"}
	begin := a.withPassword(&cobra.Command{Use: "begin", Short: "Show the secret for an authenticator app; confirm it with a code", Args: cobra.NoArgs, Example: "  warren account totp begin"},
		http.MethodPost, func([]string) string { return "totp" }, func(o map[string]any) error {
			if a.structured() {
				return a.print(o)
			}
			a.say("Type this into the app, or give it the address, then: warren account totp confirm CODE")
			_, err := fmt.Fprintf(a.out, "%v\n%v\n", o["secret"], o["uri"])
			return err
		})
	remove := a.withPassword(&cobra.Command{Use: "remove", Short: "Remove the app with its backup codes", Args: cobra.NoArgs, Example: "  warren account totp remove"},
		http.MethodPost, func([]string) string { return "totp/remove" }, a.saying("The authenticator app and its backup codes are removed."))
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
	var got struct {
		renewedSession
		Codes []any `json:"backup_codes"`
	}
	if _, err := s.Do(ctx, http.MethodPost, "/api/v1/me/totp/confirm", map[string]string{"code": code}, &got); err != nil {
		return err
	}
	if err := a.keep(got.renewedSession); err != nil {
		return err
	}
	return a.showCodes(map[string]any{"backup_codes": got.Codes})
}

// ownPasskeys are a user's. Making one needs a browser.
var ownPasskeys = &kind{name: "Passkey", plural: "passkeys", columns: []string{"id", "created_at", "used_at"}}

func (a *app) accountPasskeys() *cobra.Command {
	cmd := &cobra.Command{Use: "passkey", Short: "Your passkeys: list, rename, remove; one is added in a browser, at /account"}
	list := a.listOf(ownPasskeys, func(string) string { return "/api/v1/me/passkeys" })
	list.Example = "  warren account passkey list"
	rename := &cobra.Command{
		Use: "rename ID NAME", Short: "Give a passkey another name", Args: cobra.ExactArgs(2), Example: "  warren account passkey rename passkey_01h455vb4pex5vsknk084sn02q laptop",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := a.connect()
			if err != nil {
				return err
			}
			if _, err := s.Do(cmd.Context(), http.MethodPut, "/api/v1/me/passkeys/"+url.PathEscape(args[0]), map[string]string{"name": args[1]}, nil); err != nil {
				return err
			}
			a.say("passkey %s renamed", args[0])
			return nil
		},
	}
	remove := a.withPassword(&cobra.Command{Use: "remove ID", Short: "Remove a passkey", Args: cobra.ExactArgs(1), Example: "  warren account passkey remove passkey_01h455vb4pex5vsknk084sn02q"},
		http.MethodPost, func(args []string) string { return "passkeys/" + url.PathEscape(args[0]) + "/remove" }, a.saying("The passkey is removed."))
	cmd.AddCommand(list, rename, remove)
	return cmd
}
