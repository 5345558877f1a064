package brand

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"
)

func logo(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name   string
		b      Brand
		fields []string
	}{
		{"nothing", Brand{}, nil},
		{"all", Brand{Name: "Ä & Söhne <GmbH>", Accent: "#0a5fd7", Logo: logo(t)}, nil},
		{"SVG", Brand{Logo: []byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>`)}, nil},
		{"long name", Brand{Name: strings.Repeat("ä", MaxName+1)}, []string{"name"}},
		{"line in the name", Brand{Name: "a\nb"}, []string{"name"}},
		{"name that is no text", Brand{Name: "a\xff"}, []string{"name"}},
		{"space before the name", Brand{Name: " a"}, []string{"name"}},
		{"colour by name", Brand{Accent: "red"}, []string{"accent"}},
		{"style in the colour", Brand{Accent: "#000000;}body{display:none"}, []string{"accent"}},
		{"short colour", Brand{Accent: "#fff"}, []string{"accent"}},
		{"text as logo", Brand{Logo: []byte("hello")}, []string{"logo"}},
		{"page as logo", Brand{Logo: []byte("<html><svg></svg></html>")}, []string{"logo"}},
		{"half an SVG", Brand{Logo: []byte("<svg><path>")}, []string{"logo"}},
		{"large logo", Brand{Logo: append(logo(t), make([]byte, MaxLogo)...)}, []string{"logo"}},
		{"two", Brand{Name: "\t", Accent: "x"}, []string{"name", "accent"}},
	} {
		var fields []string
		if err := tt.b.Check(); err != nil {
			for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
				f, ok := errors.AsType[*FieldError](e)
				if !ok {
					t.Fatalf("%s: %v", tt.name, e)
				}
				fields = append(fields, f.Field)
			}
		}
		if !slices.Equal(fields, tt.fields) {
			t.Errorf("%s: %v are wrong, want %v", tt.name, fields, tt.fields)
		}
	}
}

// Whatever the colour, text on it has the contrast that WCAG asks for of controls.
func TestInkIsRead(t *testing.T) {
	for r := 0; r < 256; r += 15 {
		for g := 0; g < 256; g += 15 {
			for b := 0; b < 256; b += 15 {
				v := Brand{Accent: "#" + hex(r) + hex(g) + hex(b)}
				ink := 0.0
				if v.Ink() == "#ffffff" {
					ink = 1
				}
				l := luminance(r, g, b)
				if c := (math.Max(l, ink) + 0.05) / (math.Min(l, ink) + 0.05); c < 4.5 {
					t.Fatalf("%s on %s has contrast %.2f", v.Ink(), v.Accent, c)
				}
			}
		}
	}
}

func hex(v int) string { return string("0123456789abcdef"[v>>4]) + string("0123456789abcdef"[v&15]) }
