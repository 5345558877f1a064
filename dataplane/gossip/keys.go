package gossip

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hashicorp/memberlist"
)

// Key seals the gossip of a cluster. It does not print.
type Key []byte

// Format implements fmt.Formatter.
func (Key) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte("(gossip key)")) }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue("(gossip key)") }

// MarshalJSON implements json.Marshaler.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"(gossip key)"`), nil }

// KeySize is the bytes of a Key: with it memberlist seals with AES-256-GCM.
const KeySize = 32

func newRing(keys []Key) (*memberlist.Keyring, error) {
	return memberlist.NewKeyring(plain(keys[1:]), keys[0])
}

func plain(keys []Key) [][]byte {
	out := make([][]byte, len(keys))
	for i, k := range keys {
		out[i] = k
	}
	return out
}

// rekey makes a ring that is in use hold the wanted keys: what is new is added, the first seals, the rest
// is removed. It returns false, having changed nothing, when a key would have to go that has others to
// keep behind it: memberlist removes such a key under the eyes of its readers.
func rekey(ring *memberlist.Keyring, keys []Key) (bool, error) {
	want := plain(keys)
	after := after(ring.GetKeys(), want)
	for i, k := range after {
		if !contains(want, k) && slices.ContainsFunc(after[i:], func(k []byte) bool { return contains(want, k) }) {
			return false, nil
		}
	}
	for _, k := range want {
		if err := ring.AddKey(k); err != nil {
			return false, fmt.Errorf("add key: %w", err)
		}
	}
	if err := ring.UseKey(want[0]); err != nil {
		return false, fmt.Errorf("use key: %w", err)
	}
	for {
		keys := ring.GetKeys()
		last := keys[len(keys)-1]
		if contains(want, last) {
			return true, nil
		}
		if err := ring.RemoveKey(last); err != nil {
			return false, fmt.Errorf("remove key: %w", err)
		}
	}
}

// after is the order of a ring when the wanted keys are added and the first of them is used.
func after(have, want [][]byte) [][]byte {
	out := [][]byte{want[0]}
	for _, k := range append(slices.Clone(have), want...) {
		if !contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

func contains(keys [][]byte, k []byte) bool {
	return slices.ContainsFunc(keys, func(o []byte) bool { return bytes.Equal(o, k) })
}
