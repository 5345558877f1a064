package mail

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/mail/mailtest"
	"github.com/warrenedge/warren/shared/backoff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var log = slog.New(slog.DiscardHandler)

func run(t *testing.T, server string) *Mailer {
	t.Helper()
	m, err := New(Options{Server: server, Security: Plain, From: "Warren <warren@example.org>", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	m.retry = backoff.Backoff{Min: time.Millisecond, Max: time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = m.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return m
}

func TestSend(t *testing.T) {
	s := mailtest.Start(t)
	m := run(t, s.Addr)
	s.Busy(2)
	link := "https://control.example.org/reset?token=" + strings.Repeat("0123456789=", 20)
	if err := m.Send(Message{"a@example.org", "Grüße", "Hallo,\n\n  " + link + "\n"}); err != nil {
		t.Fatal(err)
	}
	got := s.Next(t)
	if got.From != "warren@example.org" || got.To != "a@example.org" || got.Text != "Hallo,\n\n  "+link+"\n" || got.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("%+v", got)
	}
}

func TestWhatCanNotBeSentIsGivenUp(t *testing.T) {
	s := mailtest.Start(t)
	m := run(t, s.Addr)
	s.Busy(attempts)
	if err := m.Send(Message{"a@example.org", "first", "x"}); err != nil {
		t.Fatal(err)
	}
	failed := func(n float64) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); testutil.ToFloat64(m.m.sent.WithLabelValues("failed")) < n; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("fewer than %v were given up", n)
			}
		}
	}
	failed(1)
	for _, to := range []string{"a@example.org\r\nBcc: b@example.org", "nobody"} {
		if err := m.Send(Message{to, "second", "x"}); err != nil {
			t.Fatal(err)
		}
	}
	failed(3)
	if err := m.Send(Message{"a@example.org", "third\r\nBcc: b@example.org", "x"}); err != nil {
		t.Fatal(err)
	}
	if got := s.Next(t); !strings.HasPrefix(got.Subject, "third") && !strings.Contains(got.Subject, "=?") || got.Header.Get("Bcc") != "" {
		t.Errorf("%+v", got)
	}
	if s.Count() != 0 {
		t.Errorf("%d more came", s.Count())
	}
}

func TestTheQueueHasABound(t *testing.T) {
	m, err := New(Options{Server: "127.0.0.1:1", Security: Plain, From: "warren@example.org", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	for range queueSize {
		if err := m.Send(Message{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Send(Message{}); fault.Of(err) != fault.Unavailable {
		t.Errorf("%v", err)
	}
	none, err := New(Options{Log: log})
	if err != nil || none.Works() || none.Send(Message{}) != ErrNone {
		t.Errorf("without a server: %v", err)
	}
}

func TestValidate(t *testing.T) {
	good := Options{Server: "mail.example.org:587", Security: StartTLS, From: "Warren <warren@example.org>", Username: "u", Password: "p", Log: log}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"server:":             func(o *Options) { o.Server = "mail.example.org" },
		"security:":           func(o *Options) { o.Security = "ssl" },
		"from:":               func(o *Options) { o.From = "Warren" },
		"username, password:": func(o *Options) { o.Password = "" },
		"in the clear":        func(o *Options) { o.Security = Plain },
		"ca_file:":            func(o *Options) { o.CAFile = "/nowhere" },
	} {
		o := good
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s %v", want, err)
		}
	}
}
