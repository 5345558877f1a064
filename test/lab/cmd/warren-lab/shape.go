package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/test/lab"
)

var directions = map[string]lab.Direction{"up": lab.Up, "down": lab.Down}

// parseShape reads a link's shape; each word shows by its form what it is.
func parseShape(words []string) (d lab.Direction, s lab.Shape, err error) {
	for _, w := range words {
		switch {
		case w == "off":
			if len(words) > 2 {
				return d, s, fmt.Errorf("off stands alone, or with a direction")
			}
		case directions[w] != lab.Both:
			d = directions[w]
		case strings.HasSuffix(w, "%"):
			s.Loss, err = strconv.ParseFloat(strings.TrimSuffix(w, "%"), 64)
			s.Loss /= 100
		case strings.HasSuffix(w, "mbit"):
			var rate float64
			rate, err = strconv.ParseFloat(strings.TrimSuffix(w, "mbit"), 64)
			s.Rate = int64(rate * 1e6)
		case strings.HasPrefix(w, "~"):
			s.Jitter, err = time.ParseDuration(w[1:])
		default:
			s.Delay, err = time.ParseDuration(w)
		}
		if err != nil {
			return d, s, fmt.Errorf("%q: want off, a delay (40ms), jitter (~5ms), loss (0.1%%), a rate (10mbit), up or down", w)
		}
	}
	return d, s, s.Validate()
}
