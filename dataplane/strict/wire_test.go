package strict

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/warrenedge/warren/dataplane/strict/stricttest"
)

// FuzzScanner holds the scanner against net/http: whatever passes is split into the same requests with the
// same bodies, however it is cut.
func FuzzScanner(f *testing.F) {
	for _, c := range stricttest.Wire {
		if len(c.Raw) < 1<<10 {
			f.Add([]byte(c.Raw), uint8(7))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		whole, parts := new(Scanner), new(Scanner)
		good := whole.Write(in)
		sum := 0
		for rest, step := in, int(cut)+1; len(rest) > 0; {
			n := min(step, len(rest))
			w := parts.Write(rest[:n])
			sum += w
			if w < n {
				break
			}
			rest = rest[n:]
		}
		if good != sum {
			t.Fatalf("%d bytes pass whole, %d in pieces of %d", good, sum, int(cut)+1)
		}
		checkSplit(t, in[:good])
	})
}

// checkSplit lets net/http read what has passed, and a fresh scanner follow each message that it found.
func checkSplit(t *testing.T, passed []byte) {
	src := strings.NewReader(string(passed))
	r := bufio.NewReader(src)
	at := func() int { return len(passed) - src.Len() - r.Buffered() }
	for {
		start := at()
		req, err := http.ReadRequest(r)
		if err != nil {
			return // net/http is stricter in places: then nobody serves it
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return // cut short
		}
		s := new(Scanner)
		if n := s.Write(passed[start:at()]); n != at()-start || s.state != inRequestLine || len(s.line) > 0 || s.cr {
			t.Fatalf("net/http ends a message at %d of %q, the scanner does not", at(), passed)
		}
	}
}
