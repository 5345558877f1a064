package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) getCommand() *cobra.Command {
	var labels map[string]string
	cmd := &cobra.Command{
		Use: "get KIND [NAME]", Short: "Show objects", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: a.completeObjects,
		Long:    "Show all objects of a kind, or one of them. Kinds: " + kindList() + ".",
		Example: "  warren get sites\n  warren get services -l env=prod -o wide\n  warren get service wiki -o yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := findKind(args[0])
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				items, err := s.of(k).List(cmd.Context(), typed.Listing{Labels: selector(labels)})
				if err != nil {
					return err
				}
				return a.objects(k, items, false)
			}
			o, _, err := s.of(k).Get(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			return a.objects(k, []json.RawMessage{o}, true)
		},
	}
	cmd.Flags().StringToStringVarP(&labels, "selector", "l", nil, "only objects that have this label, key=value; of several all")
	return cmd
}

func kindList() string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.plural)
	}
	return strings.Join(names, ", ")
}

// waiting are the flags of commands that write.
type waiting struct {
	wait  bool
	limit time.Duration
}

func (w *waiting) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, "return only when every node that the change concerns has applied it")
	cmd.Flags().DurationVar(&w.limit, "timeout", time.Minute, "how long to wait")
}

// after waits, if asked to, for the revision that has what a command asked for.
func (w *waiting) after(a *app, cmd *cobra.Command, s *session, rev uint64) error {
	if !w.wait || rev == 0 {
		return nil
	}
	return a.waitFor(cmd.Context(), s, rev, w.limit)
}

func (a *app) createCommand() *cobra.Command {
	create := &cobra.Command{Use: "create", Short: "Make an object"}
	for _, k := range kinds {
		switch {
		case k.manifest:
			create.AddCommand(a.createFromFile(k))
		case k.writable():
			create.AddCommand(a.createKind(k))
		}
	}
	return create
}

func (a *app) createKind(k *kind) *cobra.Command {
	var w waiting
	singular := k.singular()
	cmd := &cobra.Command{
		Use: singular + " NAME", Aliases: append([]string{k.plural}, k.aliases...), Short: "Make " + k.one(), Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0]}
			if err := a.read(cmd, k.fields, body); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			o, made, err := s.of(k).Create(cmd.Context(), body)
			if err != nil {
				return err
			}
			a.say("%s %s created", singular, args[0])
			if err := a.once(o); err != nil {
				return err
			}
			return w.after(a, cmd, s, made.Revision)
		},
	}
	for _, f := range k.fields {
		f.define(cmd)
		if f.required {
			_ = cmd.MarkFlagRequired(f.flag())
		}
	}
	w.flags(cmd)
	return cmd
}

// once prints an object that was made, or of one with a secret that alone.
func (a *app) once(o json.RawMessage) error {
	if a.structured() {
		return a.print(o)
	}
	var made struct{ Secret string }
	if err := json.Unmarshal(o, &made); err != nil {
		return err
	}
	a.secret(made.Secret)
	return nil
}

// secret prints what is shown once, if there is any.
func (a *app) secret(text string) {
	if text != "" {
		a.say("This is shown once:")
		fmt.Fprintln(a.out, text)
	}
}

func (a *app) deleteCommand() *cobra.Command {
	var w waiting
	var yes bool
	cmd := &cobra.Command{
		Use: "delete KIND NAME", Short: "Remove an object", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeObjects,
		Example: "  warren delete service wiki --yes",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := findKind(args[0])
			if err != nil {
				return err
			}
			if err := a.confirm(yes, "Delete %s %s?", strings.ToLower(k.name), args[1]); err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			done, err := s.of(k).Delete(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			a.say("%s %s deleted", strings.ToLower(k.name), args[1])
			return w.after(a, cmd, s, done.Revision)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	w.flags(cmd)
	return cmd
}

// confirm asks a person; where nobody can be asked, --yes is needed.
func (a *app) confirm(yes bool, format string, args ...any) error {
	if yes {
		return nil
	}
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usagef("nobody to ask: give --yes")
	}
	fmt.Fprintf(a.err, format+" [y/N] ", args...)
	var answer string
	_, _ = fmt.Fscanln(in, &answer)
	if !strings.EqualFold(answer, "y") && !strings.EqualFold(answer, "yes") {
		return fmt.Errorf("not confirmed, nothing done")
	}
	return nil
}
