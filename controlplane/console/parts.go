package console

import (
	"strings"

	"github.com/a-h/templ"
)

// fieldOf is the field of a form that a part of it belongs to: "allow" of "allow[2]", "rules[0].paths" of "rules[0].paths[1]".
func fieldOf(name string) string {
	if i := strings.LastIndexByte(name, '['); i > 0 && strings.HasSuffix(name, "]") {
		return name[:i]
	}
	return name
}

// described ties a field to the texts below it.
func described(f Form, name, hint string) templ.Attributes {
	var by []string
	out := templ.Attributes{}
	if f.wrong(name) != "" {
		by = append(by, "w-"+name)
		out["aria-invalid"] = "true"
	}
	if hint != "" {
		by = append(by, "h-"+name)
	}
	if len(by) > 0 {
		out["aria-describedby"] = strings.Join(by, " ")
	}
	return out
}

// carrier says over what TCP goes, and WireGuard's packets.
func carrier(t Tunnel) string {
	parts := []string{}
	for _, s := range []string{t.Carrier, t.Transport} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return dash(strings.Join(parts, " / "))
}

// typed are the attributes of an input: its type, whether it must be there, others in pairs.
func typed(kind string, required bool, more ...string) templ.Attributes {
	out := templ.Attributes{"type": kind, "autocomplete": "off"}
	if required {
		out["required"] = true
	}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}
