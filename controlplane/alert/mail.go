package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Sender sends one message, or says why it could not.
type Sender interface {
	SendNow(ctx context.Context, m mail.Message) error
}

// Courier mails notices. Jobs of the queue call it; what came of it is written beside.
type Courier struct {
	Store *store.Store
	Mail  Sender
	URL   string // of the pages; "": there are none
}

// Deliver sends one message. A message that was sent and whose replica was killed is sent again.
func (c *Courier) Deliver(ctx context.Context, id model.EventID, address string, attempt int) error {
	var event *model.Event
	var m *model.AlertMail
	err := c.Store.View(ctx, func(tx *store.Tx) (err error) {
		if m, err = tx.GetAlertMail(ctx, id, address); err == nil {
			event, err = tx.GetEvent(ctx, id)
		}
		return err
	})
	if fault.Of(err) == fault.NotFound {
		return nil // the rule is gone, or the event too old
	}
	if err != nil || m.Sent {
		return err
	}
	msg, err := c.message(event, address)
	if err != nil {
		return err
	}
	sent := c.Mail.SendNow(ctx, msg)
	m.Attempt, m.At, m.Sent, m.Problem = attempt, time.Now(), sent == nil, ""
	if sent != nil {
		m.Problem = sent.Error()
	}
	_, err = c.Store.Tx(ctx, "worker:alerts", func(tx *store.Tx) error { return tx.NoteAlertMail(ctx, m) })
	if sent != nil {
		return sent
	}
	return err
}

func (c *Courier) message(e *model.Event, to string) (mail.Message, error) {
	var d model.AlertEventData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return mail.Message{}, fmt.Errorf("event %s: %w", e.ID, err)
	}
	what := map[model.AlertKind]string{
		model.AlertSiteDown: "site %s is down", model.AlertServiceDown: "service %s is down", model.AlertTargetUnhealthy: "target %s is unhealthy",
		model.AlertCertificateDue: "the certificate of service %s needs care", model.AlertErrorRate: "requests to service %s fail",
		model.AlertNodeDown: "node %s is down", model.AlertNodeOutOfSync: "node %s is out of sync",
	}[d.Kind]
	subject := line(fmt.Sprintf(what, d.Name))
	var b strings.Builder
	if d.State == string(Resolved) {
		subject = "[resolved] " + subject
		fmt.Fprintf(&b, "It is over: %s\n\nIt began at %s UTC.\n", line(fmt.Sprintf(what, d.Name)), d.Since.UTC().Format(time.DateTime))
	} else {
		subject = "[alert] " + subject
		fmt.Fprintf(&b, "%s, since %s UTC.\n", line(fmt.Sprintf(what, d.Name)), d.Since.UTC().Format(time.DateTime))
	}
	if d.Reason != "" {
		fmt.Fprintf(&b, "\n%s\n", line(d.Reason))
	}
	fmt.Fprintf(&b, "\nRule: %s\nwarren alert list\nwarren alert silence %s --for 2h\n", d.Rule, d.Rule)
	if c.URL != "" {
		fmt.Fprintf(&b, "%s\n", c.URL)
	}
	return mail.Message{To: to, Subject: subject, Text: b.String()}, nil
}

// line keeps what others have named or said on one line.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }
