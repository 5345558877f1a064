package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// flag is the name of a field on the command line; of a secret it names a file.
func (f field) flag() string {
	name := strings.NewReplacer("_", "-", ".", "-").Replace(f.name)
	if f.typ == secret {
		name += "-file"
	}
	return name
}

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
	case secret:
		flags.String(f.flag(), "", "`file` that holds it, - for standard input: "+f.help)
	}
}

// read puts what was given for fields into a body, within the objects that their names say.
func (a *app) read(cmd *cobra.Command, fields []field, body map[string]any) error {
	for _, f := range fields {
		if err := a.readField(cmd, f, body); err != nil {
			return fmt.Errorf("--%s: %w", f.flag(), err)
		}
	}
	return nil
}

func (a *app) readField(cmd *cobra.Command, f field, body map[string]any) (err error) {
	flags := cmd.Flags()
	if !flags.Changed(f.flag()) {
		return nil
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
	case secret:
		file, _ := flags.GetString(f.flag())
		body[name], err = a.secretLine(file)
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
	return err
}
