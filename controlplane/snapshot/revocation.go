package snapshot

import (
	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/resource"
)

// revocation compiles what every node must know: who was let in by one comes by another.
func revocation(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	v := m.Revocation(model.RevocationID{UUID: id})
	if v == nil {
		return nil
	}
	msg := &nodev1.Revocation{Before: timestamppb.New(v.Before), Stale: v.Stale}
	if v.Session != "" {
		msg.What = &nodev1.Revocation_Session{Session: v.Session}
	} else {
		msg.What = &nodev1.Revocation_Subject{Subject: v.Subject}
	}
	return &draft{name: resource.Name("revocation", v.ID.String()), scopes: []string{resource.ScopeCluster}, msg: msg}
}
