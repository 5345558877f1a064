// Package mail sends what people have to be told by mail.
//
// Who has something to say is not kept waiting, nor told how it went: how long that takes says whether there is such a
// person. Messages wait in a queue; one that the server does not take is tried again for some minutes.
package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	gomail "github.com/wneessen/go-mail"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/backoff"
)

// Security is how a connection to the server is protected.
type Security string

// Securities.
const (
	StartTLS Security = "starttls" // asked for after connecting, and insisted on
	TLS      Security = "tls"      // from the first byte
	Plain    Security = "none"
)

// Options say how to send. The zero value is that nothing is.
type Options struct {
	Server   string // host:port; "": there is no mail
	Security Security
	Username string
	Password string
	From     string // "Warren <warren@example.org>"
	CAFile   string // PEM to trust for the server instead of the system's
	Log      *slog.Logger
	Reg      prometheus.Registerer
}

// Message is a text to one person.
type Message struct {
	To, Subject, Text string
}

// Bounds.
const (
	queueSize = 256 // when it is full a message is refused
	workers   = 4   // messages that are under way at a time: a receiver that is slow does not hold up the others
	attempts  = 5
	sendLimit = 30 * time.Second
)

// ErrNone is returned where there is no mail.
var ErrNone = fault.New(fault.Conflict, "no mail server is set up")

// Mailer sends messages. Safe for concurrent use.
type Mailer struct {
	o      Options
	client *gomail.Client
	queue  chan Message
	retry  backoff.Backoff
	m      metrics
}

type metrics struct {
	sent    *prometheus.CounterVec
	waiting prometheus.GaugeFunc
}

// New makes a Mailer; it connects for each message.
func New(o Options) (*Mailer, error) {
	m := &Mailer{o: o, queue: make(chan Message, queueSize), retry: backoff.Backoff{Min: 5 * time.Second, Max: 2 * time.Minute}}
	m.m = metrics{
		sent:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_mail_messages_total", Help: "Messages by what became of them: sent, failed, dropped."}, []string{"result"}),
		waiting: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cp_mail_waiting", Help: "Messages that wait to be sent."}, func() float64 { return float64(len(m.queue)) }),
	}
	if o.Reg != nil {
		o.Reg.MustRegister(m.m.sent, m.m.waiting)
	}
	if o.Server == "" {
		return m, nil
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	var err error
	m.client, err = o.client()
	return m, err
}

// Validate says what is wrong with how mail is sent.
func (o Options) Validate() error {
	host, port, err := net.SplitHostPort(o.Server)
	if n, perr := strconv.Atoi(port); err != nil || host == "" || perr != nil || n < 1 || n > 65535 {
		return fmt.Errorf("server: %q, want host:port", o.Server)
	}
	if o.Security != StartTLS && o.Security != TLS && o.Security != Plain {
		return fmt.Errorf("security: %q, want starttls, tls or none", o.Security)
	}
	if a, err := mail.ParseAddress(o.From); err != nil || strings.ContainsAny(o.From, "\r\n") {
		return fmt.Errorf("from: %q, want an address like Warren <warren@example.org>", o.From)
	} else if !strings.Contains(a.Address, "@") {
		return fmt.Errorf("from: %q has no domain", o.From)
	}
	if (o.Username == "") != (o.Password == "") {
		return errors.New("username, password: want both or none")
	}
	if o.Username != "" && o.Security == Plain {
		return errors.New("security: none, and the password would travel in the clear")
	}
	return nil
}

func (o Options) client() (*gomail.Client, error) {
	host, port, _ := net.SplitHostPort(o.Server)
	n, _ := strconv.Atoi(port)
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: no certificate in %s", o.CAFile)
		}
	}
	opts := []gomail.Option{gomail.WithPort(n), gomail.WithTimeout(sendLimit), gomail.WithTLSConfig(conf)}
	switch o.Security {
	case TLS:
		opts = append(opts, gomail.WithSSL())
	case StartTLS:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if o.Username != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(o.Username), gomail.WithPassword(o.Password))
	}
	c, err := gomail.NewClient(host, opts...)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return c, nil
}

// Settings are what people may know of how mail is sent: all but the password.
type Settings struct {
	Server   string // "": there is no mail
	Security Security
	From     string
	Username string
}

// Settings returns how mail is sent.
func (m *Mailer) Settings() Settings {
	if !m.Works() {
		return Settings{}
	}
	return Settings{m.o.Server, m.o.Security, m.o.From, m.o.Username}
}

// Works reports whether there is mail.
func (m *Mailer) Works() bool { return m.client != nil }

// Send puts a message into the queue.
func (m *Mailer) Send(msg Message) error {
	if !m.Works() {
		return ErrNone
	}
	select {
	case m.queue <- msg:
		return nil
	default:
		m.m.sent.WithLabelValues("dropped").Inc()
		return fault.New(fault.Unavailable, "too many messages wait to be sent, try again")
	}
}

// SendNow sends a message and returns what came of it, for who tries again himself.
func (m *Mailer) SendNow(ctx context.Context, msg Message) error {
	if !m.Works() {
		return ErrNone
	}
	out, err := m.compose(msg)
	if err == nil {
		err = m.transmit(ctx, out)
	}
	result := "sent"
	if err != nil {
		result = "failed"
	}
	m.m.sent.WithLabelValues(result).Inc()
	return err
}

// String names the task.
func (m *Mailer) String() string { return "mail" }

// Run sends what is in the queue.
func (m *Mailer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case msg := <-m.queue:
					m.deliver(ctx, msg)
				}
			}
		})
	}
	wg.Wait()
	return nil
}

func (m *Mailer) deliver(ctx context.Context, msg Message) {
	out, err := m.compose(msg)
	if err != nil {
		m.m.sent.WithLabelValues("failed").Inc()
		m.o.Log.Error("mail not sent", "attempts", 0, "err", err)
		return
	}
	wait := m.retry
	for n := 1; ; n++ {
		err := m.transmit(ctx, out)
		switch {
		case err == nil:
			m.m.sent.WithLabelValues("sent").Inc()
			return
		case ctx.Err() != nil:
			return
		case n == attempts || !transient(err):
			m.m.sent.WithLabelValues("failed").Inc()
			m.o.Log.Error("mail not sent", "attempts", n, "err", err) // not to whom: the log is read by more people
			return
		}
		m.o.Log.Warn("mail not sent yet", "err", err)
		if !wait.Wait(ctx) {
			return
		}
	}
}

// transient reports whether it may work later: the server said so, or there was none.
func transient(err error) bool {
	if se, ok := errors.AsType[*gomail.SendError](err); ok {
		return se.IsTemp()
	}
	return true
}

func (m *Mailer) compose(msg Message) (*gomail.Msg, error) {
	out := gomail.NewMsg()
	if err := errors.Join(out.From(m.o.From), out.To(msg.To)); err != nil {
		return nil, err
	}
	out.Subject(msg.Subject)
	out.SetMessageID()
	out.SetDate()
	out.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no automatic answers
	out.SetBodyString(gomail.TypeTextPlain, msg.Text)
	return out, nil
}

func (m *Mailer) transmit(ctx context.Context, out *gomail.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	return m.client.DialAndSendWithContext(ctx, out)
}
