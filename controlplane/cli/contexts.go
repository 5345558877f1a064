package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/yamltext"
	"github.com/warrenedge/warren/shared/atomicfile"
)

// settingsFile is the settings of a person: one control plane, or several by name, of which one is in use.
type settingsFile struct {
	Server       string `yaml:"server,omitempty"`
	APIKeyFile   string `yaml:"api_key_file,omitempty"`
	CAFile       string `yaml:"ca_file,omitempty"`
	Organization string `yaml:"organization,omitempty"`
	Site         string `yaml:"site,omitempty"`
	Domain       string `yaml:"domain,omitempty"`

	Current  string                `yaml:"current_context,omitempty"`
	Contexts map[string]connection `yaml:"contexts,omitempty"`
}

// chosen is the control plane in use: what the context says, then what stands beside the contexts.
func (f *settingsFile) chosen(name string) (connection, error) {
	name = firstOf(name, f.Current)
	c, ok := f.Contexts[name]
	if !ok && name != "" {
		return c, usagef("no context %q: see warren context list", name)
	}
	return connection{
		Server: firstOf(c.Server, f.Server), APIKeyFile: firstOf(c.APIKeyFile, f.APIKeyFile), CAFile: firstOf(c.CAFile, f.CAFile),
		Organization: firstOf(c.Organization, f.Organization), Site: firstOf(c.Site, f.Site), Domain: firstOf(c.Domain, f.Domain),
	}, nil
}

// change alters the settings file.
func (c connection) change(fn func(f *settingsFile) error) error {
	path, _ := c.settingsPath()
	f, err := readSettings(path, true)
	if err != nil {
		return err
	}
	if err := fn(f); err != nil {
		return err
	}
	b, err := yamltext.Marshal(f)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return atomicfile.Write(path, b)
}

func (a *app) contextCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "context", Short: "Keep several control planes by name"}
	var to connection
	set := &cobra.Command{
		Use: "set NAME", Short: "Write a context, and use it if there is no other", Args: cobra.ExactArgs(1),
		Long:    "Write a context: a control plane by name. What --server, --api-key-file, --ca-file and --org say is kept; what they leave out stays.",
		Example: "  warren context set home --server https://control.example.org\n  warren context set work --server https://10.0.0.1:8443 --ca-file ca.pem --org acme",
		RunE: func(_ *cobra.Command, args []string) error {
			to = a.flags
			for _, p := range []*string{&to.APIKeyFile, &to.CAFile} {
				if *p == "" {
					continue
				}
				abs, err := filepath.Abs(*p)
				if err != nil {
					return err
				}
				*p = abs
			}
			return a.flags.change(func(f *settingsFile) error {
				old := f.Contexts[args[0]]
				c := connection{
					Server: firstOf(to.Server, old.Server), APIKeyFile: firstOf(to.APIKeyFile, old.APIKeyFile), CAFile: firstOf(to.CAFile, old.CAFile),
					Organization: firstOf(to.Organization, old.Organization), Site: old.Site, Domain: old.Domain,
				}
				if c.Server == "" {
					return usagef("a context needs --server")
				}
				if f.Contexts == nil {
					f.Contexts = map[string]connection{}
				}
				f.Contexts[args[0]] = c
				f.Current = firstOf(f.Current, args[0])
				a.say("context %s written", args[0])
				return nil
			})
		},
	}
	use := &cobra.Command{
		Use: "use NAME", Short: "Use a context from now on", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeContexts, Example: "  warren context use work",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.flags.change(func(f *settingsFile) error {
				if _, ok := f.Contexts[args[0]]; !ok {
					return usagef("no context %q: see warren context list", args[0])
				}
				f.Current = args[0]
				a.say("context %s is in use", args[0])
				return nil
			})
		},
	}
	del := &cobra.Command{
		Use: "delete NAME", Short: "Forget a context", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeContexts, Example: "  warren context delete work",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.flags.change(func(f *settingsFile) error {
				if _, ok := f.Contexts[args[0]]; !ok {
					return usagef("no context %q: see warren context list", args[0])
				}
				if delete(f.Contexts, args[0]); f.Current == args[0] {
					f.Current = ""
				}
				a.say("context %s forgotten", args[0])
				return nil
			})
		},
	}
	list := &cobra.Command{
		Use: "list", Short: "Show all contexts", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.listContexts() },
	}
	cmd.AddCommand(list, use, set, del)
	return cmd
}

func (a *app) listContexts() error {
	path, optional := a.flags.settingsPath()
	f, err := readSettings(path, optional)
	if err != nil {
		return err
	}
	type shown struct {
		Name         string `json:"name"`
		Current      bool   `json:"current"`
		Server       string `json:"server"`
		Organization string `json:"organization,omitempty"`
	}
	all, rows := []shown{}, [][]string{}
	for name, c := range f.Contexts {
		all = append(all, shown{name, name == f.Current, c.Server, c.Organization})
	}
	slices.SortFunc(all, func(x, y shown) int {
		if x.Name < y.Name {
			return -1
		}
		return 1
	})
	if a.structured() {
		return a.print(all)
	}
	for _, s := range all {
		mark := ""
		if s.Current {
			mark = "*"
		}
		rows = append(rows, []string{mark, s.Name, s.Server, s.Organization})
	}
	return a.table([]string{"current", "name", "server", "organization"}, rows)
}

func (a *app) orgCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "org", Short: "Choose the organization that commands work in; its pages, sessions and request log"}
	cmd.AddCommand(&cobra.Command{
		Use: "use NAME", Short: "Work in an organization from now on", Args: cobra.ExactArgs(1), Example: "  warren org use acme",
		Long: "Work in an organization from now on, in the context in use. --org and WARREN_ORG win over it.",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.flags.change(func(f *settingsFile) error {
				if c, ok := f.Contexts[firstOf(a.flags.Context, f.Current)]; ok {
					c.Organization = args[0]
					f.Contexts[firstOf(a.flags.Context, f.Current)] = c
				} else {
					f.Organization = args[0]
				}
				a.say("commands work in %s", args[0])
				return nil
			})
		},
	}, a.brand(), a.security(), a.requestLog())
	return cmd
}
