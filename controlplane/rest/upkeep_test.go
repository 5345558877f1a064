package rest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/mail"
)

// post takes messages, but those to one address.
type post struct{ sent []mail.Message }

func (*post) Settings() mail.Settings {
	return mail.Settings{Server: "mail.example.org:587", Security: mail.StartTLS, From: "Warren <warren@example.org>", Username: "warren"}
}

func (p *post) SendNow(_ context.Context, m mail.Message) error {
	if m.To == "full@example.org" {
		return errors.New("452 the mailbox is full")
	}
	p.sent = append(p.sent, m)
	return nil
}

func TestMail(t *testing.T) {
	w := newWorld(t)
	var now admin.Mail
	if w.must(200, "GET", "/api/v1/mail", "").into(t, &now); now.SetUp {
		t.Errorf("%+v", now)
	}
	w.must(409, "POST", "/api/v1/mail/test", `{"to":"ann@example.org"}`)
	p := &post{}
	w.api.Admin.Post = p
	if w.must(200, "GET", "/api/v1/mail", "").into(t, &now); !now.SetUp || now.Server != "mail.example.org:587" || now.Security != "starttls" || now.Username != "warren" {
		t.Errorf("%+v", now)
	}
	var got admin.MailTest
	if w.must(200, "POST", "/api/v1/mail/test", `{"to":"Ann@Example.org"}`).into(t, &got); !got.Sent || got.To != "ann@example.org" || len(p.sent) != 1 || p.sent[0].To != got.To {
		t.Errorf("%+v, %+v", got, p.sent)
	}
	if w.must(200, "POST", "/api/v1/mail/test", `{"to":"full@example.org"}`).into(t, &got); got.Sent || got.Problem != "452 the mailbox is full" {
		t.Errorf("%+v", got)
	}
	if r := w.must(422, "POST", "/api/v1/mail/test", `{"to":"ann\r\nBcc: all@example.org"}`); !strings.Contains(string(r.body), "body.to") || len(p.sent) != 1 {
		t.Errorf("%s", r.body)
	}
	if r := w.must(200, "GET", "/api/v1/audit", ""); strings.Count(string(r.body), `"mail.test"`) != 2 {
		t.Errorf("%s", r.body)
	}
}

func TestBackups(t *testing.T) {
	w := newWorld(t)
	var got admin.Backups
	if w.must(200, "GET", "/api/v1/backups", "").into(t, &got); got.Database == "" || got.SizeBytes <= 0 || got.Archiving || got.ArchivedAt != nil || got.ArchiveFailedAt != nil {
		t.Errorf("%+v", got)
	}
}
