// Package brand is what an organization's pages look like, to whoever keeps it and to whoever shows it.
package brand

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a Brand.
const (
	MaxName = 64       // characters
	MaxLogo = 64 << 10 // bytes: it is in each page
)

// Brand is an organization's name, logo and colour. The zero value is none.
type Brand struct {
	Name   string // that people know; "": none is shown
	Accent string // #rrggbb, of buttons and the line at the top; "": the page's own
	Logo   []byte // PNG, JPEG, WebP, GIF or SVG; nil: none
}

// IsZero reports whether nothing is said.
func (b Brand) IsZero() bool { return b.Name == "" && b.Accent == "" && len(b.Logo) == 0 }

// FieldError is about one field of a Brand: name, accent or logo.
type FieldError struct{ Field, Problem string }

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

var accent = regexp.MustCompile(`^#[0-9a-f]{6}$`)

// Check says what is wrong, each with a *FieldError.
func (b Brand) Check() error {
	var errs []error
	say := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	if n := utf8.RuneCountInString(b.Name); n > MaxName {
		say("name", "%d characters, want at most %d", n, MaxName)
	}
	if !utf8.ValidString(b.Name) || strings.ContainsFunc(b.Name, unicode.IsControl) || strings.TrimSpace(b.Name) != b.Name {
		say("name", "%q, want text without control characters and outer spaces", b.Name)
	}
	if b.Accent != "" && !accent.MatchString(b.Accent) {
		say("accent", "%q, want a colour such as #0a5fd7", b.Accent)
	}
	if len(b.Logo) > MaxLogo {
		say("logo", "%d bytes, want at most %d", len(b.Logo), MaxLogo)
	} else if len(b.Logo) > 0 && b.LogoType() == "" {
		say("logo", "it is no PNG, JPEG, WebP, GIF or SVG")
	}
	return errors.Join(errs...)
}

// LogoType is the media type of the logo, by what it is; "" if it is none that pages show. Pages show SVG as an image only,
// where its scripts don't run (SVG Integration, secure static mode).
func (b Brand) LogoType() string {
	switch t := http.DetectContentType(b.Logo); t {
	case "image/png", "image/jpeg", "image/webp", "image/gif":
		return t
	}
	if isSVG(b.Logo) {
		return "image/svg+xml"
	}
	return ""
}

// isSVG reports whether it is well-formed XML whose root is svg.
func isSVG(b []byte) bool {
	d, root := xml.NewDecoder(bytes.NewReader(b)), ""
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root == "svg"
		}
		if err != nil {
			return false
		}
		if s, ok := t.(xml.StartElement); ok && root == "" {
			root = s.Name.Local
		}
	}
}

// Ink is the colour of text on the accent that is read best: black or white, by relative luminance (WCAG 2.2).
func (b Brand) Ink() string {
	var r, g, bl int
	if _, err := fmt.Sscanf(b.Accent, "#%02x%02x%02x", &r, &g, &bl); err != nil {
		return "#ffffff"
	}
	if l := luminance(r, g, bl); (l+0.05)*(l+0.05) > 1.05*0.05 { // contrast with black above that with white
		return "#000000"
	}
	return "#ffffff"
}

func luminance(r, g, b int) float64 { return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b) }

// linear is a component of sRGB as light (IEC 61966-2-1).
func linear(c int) float64 {
	v := float64(c) / 255
	if v <= 0.04045 {
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}
