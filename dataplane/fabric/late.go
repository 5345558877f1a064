package fabric

import (
	"maps"
	"sync"
	"time"
)

// memory holds who recently kept a dial waiting, so that a peer that died a moment ago does not delay
// every dial until its tunnel counts as down.
type memory struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu; by key of the candidate
}

func (m *memory) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.until[key]
	return ok && !time.Now().After(t)
}

func (m *memory) add(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until == nil {
		m.until = map[string]time.Time{}
	}
	now := time.Now()
	maps.DeleteFunc(m.until, func(_ string, t time.Time) bool { return now.After(t) })
	m.until[key] = now.Add(lateTime)
}

func (m *memory) forget(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.until, key)
}
