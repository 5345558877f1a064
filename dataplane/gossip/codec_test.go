package gossip

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// siteIDs are ids as long as real ones.
func siteIDs(first, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("site_%026d", first+i)
	}
	return ids
}

func messages() []message {
	return []message{
		{kind: msgDelta, node: "node_1", epoch: 7, seq: 1 << 40, add: siteIDs(0, 3), remove: siteIDs(9, 1)},
		{kind: msgDelta, node: "node_1", epoch: 7, seq: 1},
		{kind: msgAnnounce, node: "node_1", epoch: 1 << 63, seq: 300},
		{kind: msgWant, node: "node_2"},
		{kind: msgLeave, node: "node_2"},
		{kind: msgRecord, node: "node_1", epoch: 1, seq: 2, add: siteIDs(0, 2000)},
	}
}

func TestMessages(t *testing.T) {
	for _, m := range messages() {
		got, err := decodeMessage(m.encode())
		if diff := cmp.Diff(m, got, cmp.AllowUnexported(message{})); err != nil || diff != "" {
			t.Errorf("kind %d: %v %s", m.kind, err, diff)
		}
	}
	for _, p := range []pulse{
		{epoch: 1 << 63, seq: 77, load: 12}, {epoch: 1, told: true}, {epoch: 1 << 63, seq: 77, load: 12, told: true, count: 300, draining: true},
	} {
		if got, err := decodePulse(p.encode()); err != nil || got != p {
			t.Errorf("%v %v", got, err)
		}
		if !p.told {
			continue
		}
		if got, err := decodePulse(append(p.encode(), "what a newer node says"...)); err != nil || got != p {
			t.Errorf("with more behind: %v %v", got, err)
		}
	}
	ids := siteIDs(0, 5)
	if got, err := decodeIDs(encodeIDs(ids)); err != nil || !slices.Equal(got, ids) {
		t.Errorf("%v %v", got, err)
	}
}

func TestMistakesInMessages(t *testing.T) {
	good := messages()[0].encode()
	for n := range good {
		if _, err := decodeMessage(good[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are a message", n, len(good))
		}
	}
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"trailing":       {append(bytes.Clone(good), 0), errTrailing},
		"long id":        {message{kind: msgWant, node: strings.Repeat("x", maxID+1)}.encode(), errTooLong},
		"too many sites": {message{kind: msgRecord, node: "n", epoch: 1, add: make([]string, maxSites+1)}.encode(), errTooLong},
	} {
		if _, err := decodeMessage(tt.b); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	lying := message{kind: msgRecord, node: "n", epoch: 1, seq: 1}.encode()
	lying[len(lying)-1] = 100 // sites that are not there
	if _, err := decodeMessage(lying); !errors.Is(err, errTruncated) {
		t.Errorf("%v", err)
	}
	for _, b := range [][]byte{nil, {0}, {9}, {pulseVersion, 1}} {
		if _, err := decodePulse(b); err == nil {
			t.Errorf("%v is a pulse", b)
		}
		if _, err := decodeIDs(append(b, 200)); err == nil {
			t.Errorf("%v are ids", b)
		}
	}
}

// What fits a packet must fit with all that memberlist puts around it; the largest record must fit a stream.
func TestMessagesFit(t *testing.T) {
	r := newRecords("node_"+strings.Repeat("0", 26), 1<<63)
	r.set(nil)
	n := 0
	for {
		n++
		if m, _ := r.set(siteIDs(0, n)[n-1:]); m.kind != msgDelta {
			t.Fatal("one site for another does not fit a packet")
		}
		r.set(nil)
		if m, _ := r.set(siteIDs(0, n)); m.kind == msgAnnounce {
			break
		}
		r.set(nil)
	}
	if n < 30 {
		t.Errorf("%d sites are too many for a packet", n)
	}
	big := make([]string, maxSites)
	for i := range big {
		big[i] = fmt.Sprintf("%0*d", maxID, i)
	}
	r.set(big)
	if size := len(r.whole().encode()); size > maxStream-1024 {
		t.Errorf("the largest record has %d bytes, a stream %d", size, maxStream)
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range messages() {
		f.Add(m.encode())
	}
	f.Add(pulse{epoch: 1, seq: 2, load: 3}.encode())
	f.Add(pulse{epoch: 1, seq: 2, load: 3, told: true, count: 300, draining: true}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMessage(b); err == nil {
			if len(m.add) > maxSites || len(m.remove) > maxSites || len(m.node) > maxID {
				t.Fatalf("beyond bounds: %d, %d, %d", len(m.add), len(m.remove), len(m.node))
			}
			again, err := decodeMessage(m.encode())
			if err != nil || cmp.Diff(m, again, cmp.AllowUnexported(message{})) != "" {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
		}
		if p, err := decodePulse(b); err == nil {
			if again, err := decodePulse(p.encode()); err != nil || again != p {
				t.Fatalf("%+v became %+v, %v", p, again, err)
			}
		}
		if ids, err := decodeIDs(b); err == nil && len(ids) > maxSites {
			t.Fatal("beyond bounds")
		}
	})
}
