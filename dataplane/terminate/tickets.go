package terminate

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"strings"
	"sync"
)

// TicketKey is a key of session tickets that the nodes of a pool share. It does not print.
type TicketKey [32]byte

// String is a placeholder.
func (TicketKey) String() string { return "(key)" }

// GoString is a placeholder.
func (TicketKey) GoString() string { return "(key)" }

// LogValue is a placeholder.
func (TicketKey) LogValue() slog.Value { return slog.StringValue("(key)") }

// Tickets are the keys that session tickets are sealed and opened with. Without any, each configuration has keys of
// its own, which nobody else knows. Safe for concurrent use; the zero value is ready.
type Tickets struct {
	mu   sync.Mutex
	keys []TicketKey            // guarded by mu; the first seals, all open
	cfgs map[*tls.Config]string // guarded by mu; what each is for
}

// Set replaces the keys at once, also for handshakes of configurations that are in use. None keeps what there is:
// who can't be told of keys goes on with those that it knows.
func (t *Tickets) Set(keys []TicketKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(keys) == 0 {
		return
	}
	t.keys = keys
	for cfg, use := range t.cfgs {
		give(cfg, use, keys)
	}
}

// attach makes a configuration follow the keys. Each use has keys of its own derived from them: a ticket of one is
// none to another, even where a name has moved between them.
func (t *Tickets) attach(cfg *tls.Config, use string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cfgs == nil {
		t.cfgs = map[*tls.Config]string{}
	}
	t.cfgs[cfg] = use
	if len(t.keys) > 0 {
		give(cfg, use, t.keys)
	}
}

func give(cfg *tls.Config, use string, keys []TicketKey) {
	derived := make([][32]byte, len(keys))
	for i, k := range keys {
		// It fails for lengths that nobody asks for here.
		out, err := hkdf.Key(sha256.New, k[:], nil, "warren tickets "+use, len(derived[i]))
		if err != nil {
			panic(err)
		}
		copy(derived[i][:], out)
	}
	cfg.SetSessionTicketKeys(derived)
}

// useOf names a configuration by what it confirms to clients.
func useOf(protocols []string) string {
	if len(protocols) == 0 {
		return "any protocol"
	}
	return strings.Join(protocols, " ")
}
