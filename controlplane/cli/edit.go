package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
)

func (a *app) editCommand() *cobra.Command {
	var w waiting
	cmd := &cobra.Command{
		Use: "edit KIND NAME", Short: "Change an object in an editor", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeObjects,
		Long: "Open an object as YAML in $VISUAL or $EDITOR (vi if neither is set) and write what you save. If somebody else changes the object\n" +
			"meanwhile nothing is written; your text is kept in a file. What can't be written comes back into the editor with the reason.",
		Example: "  warren edit service wiki",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := findKind(args[0])
			if err != nil {
				return err
			}
			if !k.writable() {
				return usagef("%s can't be edited", k.one())
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			return a.edit(cmd, s, k, args[1], &w)
		},
	}
	w.flags(cmd)
	return cmd
}

// one is an object as a manifest, with its tag.
func (s *session) one(ctx context.Context, k *kind, name string) (*manifest, string, error) {
	raw, got, err := s.of(k).Get(ctx, name)
	if err != nil {
		return nil, "", err
	}
	var o struct{ Name string }
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, "", err
	}
	// The tag was read first: what changes in between is noticed when it is written.
	docs, err := s.manifests(ctx, typed.ExportManifestsParams{Kind: []string{k.name}, Name: o.Name})
	if err != nil {
		return nil, "", err
	}
	if len(docs) != 1 {
		return nil, "", fmt.Errorf("%s %s is written by nobody", strings.ToLower(k.name), name)
	}
	return docs[0], got.Tag, nil
}

func (a *app) edit(cmd *cobra.Command, s *session, k *kind, name string, w *waiting) error {
	ctx := cmd.Context()
	m, tag, err := s.one(ctx, k, name)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "warren-*.yaml")
	if err != nil {
		return err
	}
	_ = file.Close()
	was := []byte(m.noted())
	text := was
	for {
		if err := os.WriteFile(file.Name(), text, 0o600); err != nil {
			return err
		}
		if err := a.editor(ctx, file.Name()); err != nil {
			return err
		}
		now, err := os.ReadFile(file.Name())
		if err != nil {
			return err
		}
		if bytes.Equal(now, text) { // as it was, or as it was refused
			_ = os.Remove(file.Name())
			if bytes.Equal(text, was) {
				a.say("%s %s unchanged", strings.ToLower(k.name), name)
				return nil
			}
			return errors.New("given up, nothing written")
		}
		done, err := s.writeEdited(ctx, k, m, tag, file.Name(), now)
		switch {
		case err == nil:
			_ = os.Remove(file.Name())
			if !done.Changed {
				a.say("%s %s unchanged", strings.ToLower(k.name), name)
				return nil
			}
			a.say("%s %s written, revision %d", strings.ToLower(k.name), name, done.Revision)
			return w.after(a, cmd, s, done.Revision)
		case apiclient.StatusOf(err) != 0 && apiclient.StatusOf(err) != http.StatusUnprocessableEntity:
			return fmt.Errorf("%w\n  your text is in %s", err, file.Name())
		}
		text = append([]byte("# "+strings.ReplaceAll(err.Error(), "\n", "\n# ")+"\n"), withoutRemarks(now)...)
	}
}

// withoutRemarks takes away the comments that a text begins with: those of an earlier refusal.
func withoutRemarks(text []byte) []byte {
	for bytes.HasPrefix(text, []byte("#")) {
		_, rest, found := bytes.Cut(text, []byte("\n"))
		if !found {
			return nil
		}
		text = rest
	}
	return text
}

// writeEdited writes what somebody has made of an object, if it is still the one that he has seen.
func (s *session) writeEdited(ctx context.Context, k *kind, was *manifest, tag, file string, text []byte) (apiclient.Written, error) {
	docs, err := parseManifests(file, text)
	if err != nil {
		return apiclient.Written{}, err
	}
	if len(docs) != 1 || docs[0].Kind != was.Kind || docs[0].Metadata.Name != was.Metadata.Name || docs[0].Metadata.Organization != was.Metadata.Organization {
		return apiclient.Written{}, fmt.Errorf("want one document, of the same object: kind, name and organization can't be changed")
	}
	m := docs[0]
	if wrong := m.validate(); len(wrong) > 0 {
		return apiclient.Written{}, errors.Join(wrong...)
	}
	return s.replace(ctx, k, m, tag)
}

// replace writes an object as a manifest says, if it is still the one with a tag.
func (s *session) replace(ctx context.Context, k *kind, m *manifest, tag string) (apiclient.Written, error) {
	body := map[string]any{"labels": orEmpty(m.Metadata.Labels)}
	for field, v := range m.Spec {
		body[field] = v
	}
	_, done, err := s.tagged(tag).in(firstOf(m.Metadata.Organization, s.org), k).Put(ctx, m.Metadata.Name, body)
	return done, err
}

func orEmpty(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return labels
}

func (a *app) editor(ctx context.Context, file string) error {
	words := strings.Fields(firstOf(os.Getenv("VISUAL"), os.Getenv("EDITOR"), "vi"))
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], file)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("editor %s: %w", words[0], err)
	}
	return nil
}

func (a *app) labelCommand() *cobra.Command {
	return &cobra.Command{
		Use: "label KIND NAME KEY=VALUE|KEY-...", Short: "Set labels of an object, or take them away", Args: cobra.MinimumNArgs(3), ValidArgsFunction: a.completeObjects,
		Long: "Set labels of an object: key=value; key- takes one away. Others stay. Lists take -l key=value. Nodes never see labels: nothing is\n" +
			"pushed to them.",
		Example: "  warren label service wiki env=prod team=docs\n  warren label service wiki env-",
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := findKind(args[0])
			if err != nil {
				return err
			}
			if !k.writable() || k.name == "APIKey" {
				return usagef("%s has no labels", k.one())
			}
			change := map[string]*string{}
			for _, arg := range args[2:] {
				key, value, set := strings.Cut(arg, "=")
				switch {
				case set && key != "":
					change[key] = &value
				case !set && strings.HasSuffix(arg, "-") && len(arg) > 1:
					change[strings.TrimSuffix(arg, "-")] = nil
				default:
					return usagef("%q: want key=value, or key- to take one away", arg)
				}
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			o, done, err := s.of(k).Label(cmd.Context(), args[1], change)
			if err != nil {
				return err
			}
			if a.structured() {
				return a.print(o)
			}
			what := "unchanged"
			if done.Changed {
				what = "labelled"
			}
			a.say("%s %s %s", strings.ToLower(k.name), args[1], what)
			return nil
		},
	}
}
