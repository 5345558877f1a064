package admin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
)

// Post sends mail.
type Post interface {
	Settings() mail.Settings
	SendNow(ctx context.Context, m mail.Message) error
}

// Mail is how mail is sent, as the replica that answers was told.
type Mail struct {
	SetUp    bool   `json:"set_up" doc:"There is a mail server. Without one, links are shown to who makes them, and alerts are not mailed"`
	Server   string `json:"server,omitempty"`
	Security string `json:"security,omitempty" enum:"starttls,tls,none"`
	From     string `json:"from,omitempty"`
	Username string `json:"username,omitempty"`
}

// MailTestSpec says who gets a test message.
type MailTestSpec struct {
	To string `json:"to" minLength:"3" maxLength:"254" example:"ann@example.com" doc:"Address that it is sent to"`
}

// MailTest is what came of a test message.
type MailTest struct {
	To      string `json:"to"`
	Sent    bool   `json:"sent" doc:"The server has taken it"`
	Problem string `json:"problem,omitempty" doc:"Why it has not"`
	Took    string `json:"took"`
}

// Mail says how mail is sent.
func (a *Admin) Mail(_ context.Context, p access.Principal) (Mail, error) {
	if err := p.Check(access.ClusterManage); err != nil {
		return Mail{}, err
	}
	if a.Post == nil {
		return Mail{}, nil
	}
	s := a.Post.Settings()
	return Mail{s.Server != "", s.Server, string(s.Security), s.From, s.Username}, nil
}

// mailTime bounds how long the server may take for a test message.
const mailTime = 20 * time.Second

// TestMail sends a message and waits for what the server says of it.
func (a *Admin) TestMail(ctx context.Context, p access.Principal, spec MailTestSpec) (out MailTest, err error) {
	now, err := a.Mail(ctx, p)
	if err != nil {
		return out, err
	}
	if out.To, err = model.CanonicalEmail(spec.To); err != nil {
		return out, fault.Field("to", "%v", err)
	}
	if !now.SetUp {
		return out, mail.ErrNone
	}
	if _, err := a.write(ctx, p, action("mail", "test"), func(c *call) error { c.did("", out.To); return nil }); err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(ctx, mailTime)
	defer cancel()
	begun := time.Now()
	sent := a.Post.SendNow(ctx, mail.Message{To: out.To, Subject: "A test from Warren", Text: "Mail of this cluster arrives.\n\n" + p.Name + " asked for this message, " + begun.UTC().Format(time.RFC1123) + ".\n"})
	out.Sent, out.Took = sent == nil, time.Since(begun).Round(time.Millisecond).String()
	if sent != nil {
		out.Problem = sent.Error()
	}
	return out, nil
}
