package gossip

import "testing"

// Bytes of strangers on both ports; memberlist must not panic.
func FuzzPorts(f *testing.F) {
	for _, b := range [][]byte{{}, {0}, {10, 0, 0, 0, 1, 0}, {10, 0xff, 0xff, 0xff, 0xff}, {244, 5, 'l', 'a', 'b', 'e', 'l'}, {12, 0, 0, 0, 0, 7, 0xff}} {
		f.Add(b)
	}
	_, at := listener(f)
	f.Fuzz(func(t *testing.T, b []byte) { shout(t, at, b, b) })
}
