package logsink

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/warrenedge/warren/dataplane/requestlog"
)

// field is a fact of a record; text is "" of a number.
type field struct {
	name   string
	text   string
	number float64
}

// fields are what there is to say of a record, but for its time.
func fields(r *requestlog.Record, node string) []field {
	out := []field{{name: "id", text: r.ID.String()}}
	for _, f := range []field{
		{name: "kind", text: r.Kind.String()}, {name: "node", text: node}, {name: "service", text: r.Service}, {name: "site", text: r.Site}, {name: "target", text: r.Target},
		{name: "relay", text: r.Relay}, {name: "method", text: r.Method}, {name: "host", text: r.Host}, {name: "path", text: r.Path}, {name: "user", text: r.User},
		{name: "decision", text: r.Decision.String()}, {name: "reason", text: r.Why()}, {name: "error", text: r.Error},
	} {
		if f.text != "" {
			f.text = strings.ToValidUTF8(f.text, "\uFFFD")
			out = append(out, f)
		}
	}
	if r.Client.IsValid() {
		out = append(out, field{name: "client", text: r.Client.String()})
	}
	if r.Status > 0 {
		out = append(out, field{name: "status", number: float64(r.Status)})
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return append(out, field{name: "bytes_in", number: float64(r.In)}, field{name: "bytes_out", number: float64(r.Out)},
		field{name: "decide_ms", number: ms(r.Decide)}, field{name: "first_byte_ms", number: ms(r.FirstByte)}, field{name: "total_ms", number: ms(r.Total)})
}

// object is a record as a line of JSON has it.
func object(r *requestlog.Record, node string) ([]byte, error) {
	m := map[string]any{"at": r.At.UTC().Format(time.RFC3339Nano)}
	for _, f := range fields(r, node) {
		if f.text != "" {
			m[f.name] = f.text
		} else {
			m[f.name] = f.number
		}
	}
	return json.Marshal(m)
}

// failing reports whether somebody should look at a record.
func failing(r *requestlog.Record) bool { return r.Failed() }
