package admin

import (
	"time"

	"github.com/warrenedge/warren/shared/identity"
)

// Alarms knows what is wrong with nodes and connectors now.
type Alarms interface {
	// Alarm is a word for it; empty if nothing is.
	Alarm(kind identity.Kind, id string) string
}

// alarm is none of who is revoked: what still uses that identity gets nowhere.
func (a *Admin) alarm(kind identity.Kind, id string, revoked time.Time) string {
	if a.Alarms == nil || !revoked.IsZero() {
		return ""
	}
	return a.Alarms.Alarm(kind, id)
}
