package cli

import (
	"os"

	"golang.org/x/term"
)

// Colours, as terminals are told.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// colourful reports whether output is coloured: for who looks at a terminal, and has not said otherwise (no-color.org).
func colourful(terminal, noColour bool, getenv func(string) string) bool {
	return terminal && !noColour && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// isTerminal reports whether somebody looks at what is written.
func isTerminal(out any) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// paint is text in a colour, where there are colours.
func (a *app) paint(colour, text string) string {
	if !a.colours {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
