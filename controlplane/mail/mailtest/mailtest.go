// Package mailtest is a mail server for tests that keeps what it is sent.
package mailtest

import (
	"bufio"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server speaks SMTP, without TLS.
type Server struct {
	Addr string

	mu   sync.Mutex
	busy int // answers "try again" to so many messages
	got  chan Message
}

// Asleep begins addresses that are told to come again, for ever.
const Asleep = "asleep@"

// Message is what came.
type Message struct {
	From, To, Subject, Text string
	Header                  mail.Header
}

// Start runs a server on loopback until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return StartOn(t, l)
}

// StartOn runs a server until the test ends, somewhere else.
func StartOn(t testing.TB, l net.Listener) *Server {
	t.Helper()
	s := &Server{Addr: l.Addr().String(), got: make(chan Message, 100)}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				s.serve(c)
			})
		}
	})
	return s
}

// Busy makes the server tell the next n messages to come again.
func (s *Server) Busy(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = n
}

// Next is the next message; none within 20 s fails the test.
func (s *Server) Next(t testing.TB) Message {
	t.Helper()
	select {
	case m := <-s.got:
		return m
	case <-time.After(20 * time.Second):
		t.Fatal("no mail came")
		return Message{}
	}
}

// Count is how many messages are there that nobody has read.
func (s *Server) Count() int { return len(s.got) }

func (s *Server) serve(c net.Conn) {
	in := bufio.NewReader(c)
	say := func(format string, args ...any) { fmt.Fprintf(c, format+"\r\n", args...) }
	say("220 mail.test ESMTP")
	var m Message
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		switch verb := strings.ToUpper(line); {
		case strings.HasPrefix(verb, "EHLO"), strings.HasPrefix(verb, "HELO"):
			say("250-mail.test")
			say("250 8BITMIME")
		case strings.HasPrefix(verb, "MAIL FROM:"):
			m.From = address(line)
			say("250 ok")
		case strings.HasPrefix(verb, "RCPT TO:"):
			if m.To = address(line); strings.HasPrefix(m.To, Asleep) {
				say("451 try again")
				continue
			}
			say("250 ok")
		case verb == "DATA":
			say("354 go on")
			if !s.data(in, &m) {
				say("451 try again")
				continue
			}
			say("250 taken")
			s.got <- m
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func address(line string) string {
	_, rest, _ := strings.Cut(line, "<")
	out, _, _ := strings.Cut(rest, ">")
	return out
}

func (s *Server) data(in *bufio.Reader, m *Message) bool {
	var b strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy > 0 {
		s.busy--
		return false
	}
	msg, err := mail.ReadMessage(strings.NewReader(b.String()))
	if err != nil {
		return false
	}
	var body io.Reader = msg.Body
	if strings.EqualFold(msg.Header.Get("Content-Transfer-Encoding"), "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	m.Subject, m.Text, m.Header = msg.Header.Get("Subject"), strings.ReplaceAll(string(text), "\r\n", "\n"), msg.Header
	return err == nil
}
