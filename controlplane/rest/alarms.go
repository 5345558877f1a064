package rest

import (
	"fmt"
	"time"

	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

const alarmCopied = "copied"

// alarms shows nodes and connectors as presence knows them.
type alarms struct{ seen *presence.Store }

// Alarm implements admin.Alarms.
func (a alarms) Alarm(kind identity.Kind, id string) string {
	if _, ok := a.seen.Copied(presence.Key{Kind: kind, ID: id}); ok {
		return alarmCopied
	}
	return ""
}

// alarmView is an alarm, and what is to be done.
type alarmView struct {
	Kind  string    `json:"kind" enum:"copied"`
	Since time.Time `json:"since"`
	Last  time.Time `json:"last" doc:"When there was a sign of it last; it is over 15 minutes later"`
	Text  string    `json:"text" doc:"For people: what it means, and what to do"`
}

// alarm is nil if there is none.
func (a *API) alarm(kind identity.Kind, id, name string) *alarmView {
	c, ok := a.Presence.Copied(presence.Key{Kind: kind, ID: id})
	if !ok {
		return nil
	}
	command := map[identity.Kind]string{identity.Node: "warren node revoke", identity.Connector: "warren site revoke"}[kind]
	return &alarmView{
		Kind: alarmCopied, Since: c.Since.UTC(), Last: c.Last.UTC(),
		Text: fmt.Sprintf("several processes use the identity of %s %s: its state directory was copied; end those that should not be, "+
			"or, if you do not know them, revoke it (%s %s) and let another one join under a new name", kind, name, command, name),
	}
}
