package gossip

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// ringOf makes keys of letters.
func ringOf(letters string) (keys []Key) {
	for _, l := range []byte(letters) {
		keys = append(keys, key(l))
	}
	return keys
}

func TestRekey(t *testing.T) {
	for _, tt := range []struct {
		have, want string
		ok         bool
	}{
		{"a", "a", true},
		{"a", "ab", true}, // a rotation: everybody can open it, then everybody seals with it, then the old one goes
		{"ab", "ba", true},
		{"ba", "b", true},
		{"a", "b", true},
		{"abc", "b", true},
		{"ba", "bc", false}, // a would have to be taken from between
		{"abc", "ac", false},
	} {
		ring, err := newRing(ringOf(tt.have))
		if err != nil {
			t.Fatal(err)
		}
		ok, err := rekey(ring, ringOf(tt.want))
		if err != nil || ok != tt.ok {
			t.Errorf("%s to %s: %v, %v", tt.have, tt.want, ok, err)
		}
		got, want := "", tt.want
		for _, k := range ring.GetKeys() {
			got += string(k[:1])
		}
		if !tt.ok {
			want = tt.have
		}
		if got != want {
			t.Errorf("%s to %s: %s", tt.have, tt.want, got)
		}
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	c := Config{Self: "n", Keys: ringOf("k")}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", c.Keys[0], "cfg", c)
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v %s %x %q", c, c, c, c.Keys, c.Keys[0], c.Keys), log.String(), string(js)} {
		if strings.Contains(s, "kkk") || strings.Contains(s, "6b6b") || strings.Contains(s, "107 107") || strings.Contains(s, "a2tr") {
			t.Errorf("the key is in %s", s)
		}
	}
}
