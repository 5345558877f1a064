package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// flag is the name of a field on the command line.
func (f field) flag() string { return strings.NewReplacer("_", "-", ".", "-").Replace(f.name) }

// define adds the flag of a field.
func (f field) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	switch f.typ {
	case text:
		flags.String(f.flag(), "", f.help)
	case number:
		flags.Int(f.flag(), 0, f.help)
	case list:
		flags.StringSlice(f.flag(), nil, f.help)
	case toggle:
		flags.Bool(f.flag(), false, f.help)
	case pairs:
		flags.StringToString(f.flag(), nil, f.help)
	}
}

// read puts what was given for a field into a body, within the objects that its name says.
func (f field) read(cmd *cobra.Command, body map[string]any) {
	flags := cmd.Flags()
	if !flags.Changed(f.flag()) {
		return
	}
	name := f.name
	for {
		outer, inner, nested := strings.Cut(name, ".")
		if !nested {
			break
		}
		in, ok := body[outer].(map[string]any)
		if !ok {
			in = map[string]any{}
			body[outer] = in
		}
		body, name = in, inner
	}
	switch f.typ {
	case text:
		body[name], _ = flags.GetString(f.flag())
	case number:
		body[name], _ = flags.GetInt(f.flag())
	case list:
		body[name], _ = flags.GetStringSlice(f.flag())
	case toggle:
		body[name], _ = flags.GetBool(f.flag())
	case pairs:
		body[name], _ = flags.GetStringToString(f.flag())
	}
}
