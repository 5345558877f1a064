package rest

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// bodyTime is how long a caller may take to send a body.
const bodyTime = 5 * time.Second

// readable refuses names in a path that the database can't take.
func (a *API) readable(ctx huma.Context, next func(huma.Context)) {
	for _, p := range ctx.Operation().Parameters {
		if p.In != "path" {
			continue
		}
		if v := ctx.Param(p.Name); !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			const what = "want UTF-8 without NUL"
			_ = huma.WriteErr(a.huma, ctx, http.StatusUnprocessableEntity, what, &huma.ErrorDetail{Message: what, Location: "path." + p.Name, Value: v})
			return
		}
	}
	next(ctx)
}

// wellFormed refuses what huma would take and read in its own way: a body that is not said to be JSON, or that
// holds a field twice. What is no JSON, or too much of it, is huma's to refuse.
func (a *API) wellFormed(ctx huma.Context, next func(huma.Context)) {
	if ctx.Operation().RequestBody == nil {
		next(ctx)
		return
	}
	_ = ctx.SetReadDeadline(time.Now().Add(bodyTime)) // not every ResponseWriter has one; the server's bound holds anyway
	r, _ := humago.Unwrap(ctx)
	body := r.Body
	most := max(ctx.Operation().MaxBodyBytes, maxBody)
	b, err := io.ReadAll(io.LimitReader(body, most))
	// Whoever reads on meets the same end or the same failure.
	r.Body = readCloser{io.MultiReader(bytes.NewReader(b), body), body}
	if err != nil || int64(len(b)) == most {
		next(ctx)
		return
	}
	if typ, _, err := mime.ParseMediaType(ctx.Header("Content-Type")); len(b) > 0 && (err != nil || typ != "application/json") {
		a.refuse(ctx, http.StatusUnsupportedMediaType, "want Content-Type: application/json")
		return
	}
	if at, twice := repeated(b); twice {
		const what = "the field is there twice"
		_ = huma.WriteErr(a.huma, ctx, http.StatusUnprocessableEntity, what, &huma.ErrorDetail{Message: what, Location: at})
		return
	}
	next(ctx)
}

type readCloser struct {
	io.Reader
	io.Closer
}

// nest is an object or array of a JSON text that is being read.
type nest struct {
	seen  map[string]bool // fields so far; nil: an array
	key   string          // field whose value is next or under way
	value bool            // of an object: what comes next is a value
	count int             // of an array: elements so far
}

// repeated finds the first field that an object of a JSON text holds twice. It reads as far as the text is JSON;
// its work and memory are those of the text's length.
func repeated(text []byte) (at string, twice bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // numbers of any size are none of its business
	var open []nest
	for {
		tok, err := d.Token()
		if err != nil {
			return "", false
		}
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			open = open[:len(open)-1]
			continue
		}
		if n := len(open); n > 0 {
			in := &open[n-1]
			switch {
			case in.seen == nil:
				in.count++
			case in.value:
				in.value = false
			default:
				in.key, in.value = tok.(string), true
				if in.seen[in.key] {
					return location(open), true
				}
				in.seen[in.key] = true
				continue
			}
		}
		switch tok {
		case json.Delim('{'):
			open = append(open, nest{seen: map[string]bool{}})
		case json.Delim('['):
			open = append(open, nest{})
		}
	}
}

// location says where in a body something is, as huma does: body.a[0].b.
func location(open []nest) string {
	var b strings.Builder
	b.WriteString("body")
	for _, n := range open {
		if n.seen == nil {
			b.WriteString("[" + strconv.Itoa(n.count-1) + "]")
		} else {
			b.WriteString("." + n.key)
		}
	}
	return b.String()
}
