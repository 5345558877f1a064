package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func compareNames(a, b string) int { return strings.Compare(a, b) }

func itoa(n int) string { return strconv.Itoa(n) }

// plural is a number with what it counts.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return itoa(n) + " " + many
}

// ms is a round trip, "–" if it was not measured.
func ms(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d > 0 && d < 50*time.Microsecond:
		return "<0.1 ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// brief is a duration as people write it: "1m" of "1m0s".
func brief(d string) string {
	for _, zero := range []string{"0s", "0m"} {
		if rest := strings.TrimSuffix(d, zero); rest != d && rest != "" && strings.HasSuffix(rest, map[string]string{"0s": "m", "0m": "h"}[zero]) {
			d = rest
		}
	}
	return d
}

// percent is a share, without more digits than it has.
func percent(share float64) string {
	switch p := share * 100; {
	case p == 0:
		return "0 %"
	case p < 1:
		return "<1 %"
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}

// bytesOf is a size as people say it.
func bytesOf(n uint64) string {
	f, unit := float64(n), 0
	for f >= 1000 && unit < 4 {
		f, unit = f/1000, unit+1
	}
	if unit == 0 {
		return strconv.FormatUint(n, 10) + " B"
	}
	return fmt.Sprintf("%.1f %s", f, [...]string{"", "kB", "MB", "GB", "TB"}[unit])
}

// when is a time as a page shows it.
func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// ago is how long ago something was, in the largest unit: it changes seldom, so that pages do, too.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if now.Sub(t) < time.Minute {
		return "just now"
	}
	return span(now.Sub(t)) + " ago"
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour", "hours")
	}
	return plural(int(d/(24*time.Hour)), "day", "days")
}

// dash stands for what is not there.
func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// cut shortens a text to so many letters.
func cut(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
