package presence

import (
	"maps"
	"slices"
	"time"
)

// ReplaceReplica implements Receiver.
func (s *Store) ReplaceReplica(replica string, seq uint64, entries []Entry) {
	if replica == s.replica {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	said := make(map[Key]bool, len(entries))
	for _, e := range entries {
		said[e.Key] = true
		e.Replica = replica
		s.take(e)
	}
	for k, by := range s.entries {
		if e, ok := by[replica]; ok && !said[k] && e.Seq <= seq {
			s.drop(replica, k)
		}
	}
	for k, at := range s.dropped[replica] {
		if at <= seq {
			delete(s.dropped[replica], k)
		}
	}
}

// UpdateEntry implements Receiver.
func (s *Store) UpdateEntry(e Entry) {
	if e.Replica == s.replica {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(e)
}

// take is put unless something newer is known. It needs the lock.
func (s *Store) take(e Entry) {
	if old, ok := s.entries[e.Key][e.Replica]; ok && old.Seq >= e.Seq || s.dropped[e.Replica][e.Key] > e.Seq {
		return
	}
	s.put(e)
}

// DropEntry implements Receiver.
func (s *Store) DropEntry(replica string, k Key, seq uint64) {
	if replica == s.replica {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[k][replica]; ok && e.Seq > seq {
		return
	}
	if s.dropped[replica] == nil {
		s.dropped[replica] = map[Key]uint64{}
	}
	s.dropped[replica][k] = seq
	s.drop(replica, k)
}

// Awake implements Receiver.
func (s *Store) Awake(replica string, beats bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.awake[replica]; known || beats {
		s.awake[replica] = time.Now()
	}
}

// Began implements Receiver.
func (s *Store) Began(replica string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.awake, replica)
}

// KeepReplicas implements Receiver.
func (s *Store) KeepReplicas(alive []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, by := range s.entries {
		for r := range by {
			if r != s.replica && !slices.Contains(alive, r) {
				s.drop(r, k)
			}
		}
	}
	gone := func(r string) bool { return !slices.Contains(alive, r) }
	maps.DeleteFunc(s.dropped, func(r string, _ map[Key]uint64) bool { return gone(r) })
	maps.DeleteFunc(s.awake, func(r string, _ time.Time) bool { return gone(r) })
}

// put needs the lock.
func (s *Store) put(e Entry) {
	by := s.entries[e.Key]
	if by == nil {
		by = map[string]Entry{}
		s.entries[e.Key] = by
	}
	old, had := by[e.Replica]
	by[e.Replica] = e
	s.watch(e)
	if !had {
		s.m.connected.WithLabelValues(string(e.Kind), s.local(e.Replica)).Inc()
	}
	news := s.doubt(old.Targets, e.Targets)
	if !had || news || material(old, e) {
		s.wake()
	}
}

// drop needs the lock.
func (s *Store) drop(replica string, k Key) {
	by := s.entries[k]
	old, ok := by[replica]
	if !ok {
		return
	}
	s.doubt(old.Targets, nil)
	delete(by, replica)
	s.m.connected.WithLabelValues(string(k.Kind), s.local(replica)).Dec()
	if len(by) == 0 {
		delete(s.entries, k)
		s.lastGone[k] = time.Now()
	}
	s.wake()
}

func (s *Store) local(replica string) string {
	if replica == s.replica {
		return "true"
	}
	return "false"
}
