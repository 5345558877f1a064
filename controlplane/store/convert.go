package store

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/endpoint"
	"github.com/warrenedge/warren/shared/wgkey"
)

// Page selects a part of a list: rows after a name (or the text of a UUID, where rows have no name), at
// most Limit of them. A Limit of 0 is 100.
type Page struct {
	After string
	Limit int
}

func (p Page) limit() int32 {
	if p.Limit <= 0 {
		return 100
	}
	return int32(min(p.Limit, 1001))
}

func (p Page) afterID() uuid.UUID {
	id, err := uuid.Parse(p.After)
	if err != nil {
		return uuid.Nil
	}
	return id
}

func convert[R, V any](rows []R, f func(R) *V) []*V {
	out := make([]*V, len(rows))
	for i, r := range rows {
		out[i] = f(r)
	}
	return out
}

func nullID(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func idOrZero(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// stored is a time as the database gives it back: in microseconds, UTC.
func stored(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.Truncate(time.Microsecond).UTC()
}

// orNil has one form of the empty list.
func orNil[V any](l []V) []V {
	if len(l) == 0 {
		return nil
	}
	return l
}

func notNil[V any](l []V) []V {
	if l == nil {
		return []V{}
	}
	return l
}

func uuids(ids []model.NodeID) []uuid.UUID {
	out := make([]uuid.UUID, len(ids))
	for i, id := range ids {
		out[i] = id.UUID
	}
	return out
}

func nodeIDs(ids []uuid.UUID) []model.NodeID {
	var out []model.NodeID
	for _, id := range ids {
		out = append(out, model.NodeID{UUID: id})
	}
	return out
}

func keyBytes(k wgkey.Public) []byte {
	if k.IsZero() {
		return nil
	}
	return slices.Clone(k[:])
}

// publicKey reads a stored key; the column's check leaves 32 bytes or null.
func publicKey(b []byte) wgkey.Public {
	k, _ := wgkey.PublicFromBytes(b)
	return k
}

// endpointOf reads a stored endpoint. What was written by hand and can't be read counts as none.
func endpointOf(s string) endpoint.Endpoint {
	e, _ := endpoint.Parse(s)
	return e
}
