package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

// errDiffers ends a command that has found differences.
var errDiffers = errors.New("differences found")

// named is an object in a sentence.
func named(o typed.AppliedObject) string { return strings.ToLower(o.Kind) + " " + o.Name }

// files are the flags of commands that read manifests.
type files struct {
	names    []string
	selector map[string]string
	set      string
	prune    bool
}

func (f *files) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVarP(&f.names, "filename", "f", nil, "`file`, folder of *.yaml files, or - for standard input")
	_ = cmd.MarkFlagRequired("filename")
	cmd.Flags().StringToStringVarP(&f.selector, "selector", "l", nil, "only documents that have this label, key=value; of several all")
}

func (f *files) setFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.set, "set", "", "`name` of the set of files that keeps the objects from now on (default: \"default\", of those that no set keeps)")
	cmd.Flags().BoolVar(&f.prune, "prune", false, "remove what the set kept and the files do not describe any more")
}

// read reads the documents that are meant.
func (f *files) read(a *app) ([]*manifest, error) {
	if f.prune && len(f.selector) > 0 {
		return nil, usagef("--prune with --selector would remove what was not selected")
	}
	docs, err := a.readManifests(f.names)
	if err != nil {
		return nil, err
	}
	var out []*manifest
	for _, d := range docs {
		if has(d.Metadata.Labels, f.selector) {
			out = append(out, d)
		}
	}
	if len(docs) == 0 && !f.prune {
		return nil, fmt.Errorf("no documents in %s", strings.Join(f.names, ", "))
	}
	return out, nil
}

func has(labels, want map[string]string) bool {
	for k, v := range want {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// send has the documents applied, or says what that would do.
func (f *files) send(ctx context.Context, s *session, docs []*manifest, dry bool) (out typed.Applied, w apiclient.Written, err error) {
	body := typed.ApplyInputBody{Set: f.set, Documents: []typed.Manifest{}}
	if f.prune {
		body.Prune = &f.prune
	}
	for _, d := range docs {
		body.Documents = append(body.Documents, d.typed())
	}
	out, w, err = s.api.ApplyManifests(ctx, s.org, typed.ApplyManifestsParams{DryRun: dry}, body)
	return out, w, located(err, docs)
}

// documentAt is where the server says that a document is wrong.
var documentAt = regexp.MustCompile(`^body\.documents\[(\d+)\]\.?(.*)$`)

// located says of a problem with documents where in the files it is.
func located(err error, docs []*manifest) error {
	p, ok := errors.AsType[*apiclient.Problem](err)
	if !ok {
		return err
	}
	var lines []string
	for _, e := range p.Errors {
		m := documentAt.FindStringSubmatch(e.Location)
		if m == nil {
			return err
		}
		i, _ := strconv.Atoi(m[1])
		if i >= len(docs) {
			return err
		}
		what := docs[i].Kind + " " + docs[i].Metadata.Name + ": "
		if m[2] != "" {
			what += m[2] + ": "
		}
		lines = append(lines, docs[i].faultf(m[2], "%s%s", what, e.Message).Error())
	}
	if len(lines) == 0 {
		return err
	}
	return locatedError{strings.Join(lines, "\n  ") + "\n  nothing was written", err}
}

type locatedError struct {
	text  string
	cause error
}

func (e locatedError) Error() string { return e.text }

func (e locatedError) Unwrap() error { return e.cause }

func (a *app) applyCommand() *cobra.Command {
	var w waiting
	var f files
	var yes bool
	var dry string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make objects be as files say", Args: cobra.NoArgs,
		Long: "Make objects be as YAML documents say: apiVersion warren/v1, kind, metadata (name, organization, labels), spec. All of them or\n" +
			"none: a mistake anywhere is named with its file, line and field, and nothing is written. What is as it should be is not written\n" +
			"again. An APIKey must be there: warren create api-key makes it and shows its secret. Secrets that a file leaves out stay.\n\n" +
			"--prune removes what an earlier apply of the same set made and the files do not describe any more; name the set if there is\n" +
			"more than one. --dry-run shows what would change and which nodes would receive what.",
		Example: "  warren apply -f service.yaml --wait\n  warren apply -f shop/ --set shop --prune\n  warren apply -f shop/ --dry-run\n  cat *.yaml | warren apply -f -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dry != "" && dry != "server" {
				return usagef("--dry-run=%s: there is server", dry)
			}
			docs, err := f.read(a)
			if err != nil {
				return err
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			if dry != "" {
				return a.dryRun(cmd.Context(), s, &f, docs)
			}
			if f.prune && !yes {
				if err := a.askPrune(cmd.Context(), s, &f, docs); err != nil {
					return err
				}
			}
			out, done, err := f.send(cmd.Context(), s, docs, false)
			if err != nil {
				return err
			}
			if err := a.sayApplied(out, done.Revision); err != nil {
				return err
			}
			if !done.Changed && done.Revision == 0 {
				return nil
			}
			return w.after(a, cmd, s, done.Revision)
		},
	}
	f.flags(cmd)
	f.setFlags(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask before something is removed")
	cmd.Flags().StringVar(&dry, "dry-run", "", "change nothing; show what would change, and which nodes would receive what")
	cmd.Flags().Lookup("dry-run").NoOptDefVal = "server"
	w.flags(cmd)
	return cmd
}

// askPrune asks a person before something is removed.
func (a *app) askPrune(ctx context.Context, s *session, f *files, docs []*manifest) error {
	out, _, err := f.send(ctx, s, docs, true)
	if err != nil || len(out.Removed) == 0 {
		return err
	}
	for _, o := range out.Removed {
		a.say("%s is in no file any more", named(o))
	}
	return a.confirm(false, "Remove %d object(s)?", len(out.Removed))
}

// sayApplied says what became of each object.
func (a *app) sayApplied(out typed.Applied, rev uint64) error {
	if a.structured() {
		return a.print(out)
	}
	for _, o := range out.Objects {
		switch {
		case !o.Changed:
			a.say("%s unchanged", named(o))
		case rev == 0:
			a.say("%s written", named(o))
		default:
			a.say("%s written, revision %d", named(o), rev)
		}
		if o.Secret != "" {
			a.say("This is shown once:")
			fmt.Fprintln(a.out, o.Secret)
		}
	}
	for _, o := range out.Removed {
		a.say("%s removed", named(o))
	}
	return nil
}

func (a *app) dryRun(ctx context.Context, s *session, f *files, docs []*manifest) error {
	out, _, err := f.send(ctx, s, docs, true)
	if err != nil {
		return err
	}
	if a.structured() {
		return a.print(out)
	}
	a.diff(out)
	for _, r := range out.Readers {
		name := r.Kind + " " + r.Name
		if r.All != nil && *r.All {
			a.line("%s comes to stand somewhere else and receives all there is of it", name)
			continue
		}
		a.line("%s receives %d, loses %d", name, len(r.Upserts), len(r.Removed))
		for _, u := range r.Upserts {
			a.line("  + %s", u)
		}
		for _, u := range r.Removed {
			a.line("  - %s", u)
		}
	}
	for _, p := range out.Problems {
		a.line("no node would have %s", p)
	}
	if len(out.Readers) == 0 {
		a.say("no node would receive anything")
	}
	a.say("dry run: nothing was written")
	return nil
}

func (a *app) line(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }
