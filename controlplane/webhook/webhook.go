// Package webhook tells receivers of events, signed as standardwebhooks.com has it.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/outbound"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/queue"
)

const (
	deadline  = 10 * time.Second
	maxAnswer = 1 << 20 // is read, so that a receiver may finish its sentence
	shown     = 512     // of it are kept
	atOnce    = 3       // calls of one receiver by a replica
)

// Opener opens what is sealed for a row.
type Opener interface {
	Open(sealed []byte, row string) ([]byte, error)
}

// Options is what a Deliverer needs.
type Options struct {
	Store     *store.Store
	Opener    Opener
	Policy    outbound.Policy
	UserAgent string
	Log       *slog.Logger
	Reg       prometheus.Registerer
}

// Deliverer tells receivers of events. Safe for concurrent use.
type Deliverer struct {
	Options
	client *http.Client
	done   *prometheus.CounterVec

	mu   sync.Mutex
	busy map[model.WebhookID]int // calls under way
}

// New makes a Deliverer.
func New(o Options) *Deliverer {
	d := &Deliverer{Options: o, client: o.Policy.Client(deadline), busy: map[model.WebhookID]int{}, done: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_webhook_attempts_total", Help: "Calls of webhooks by this replica, by result: delivered, failed, or given up after the last one."}, []string{"result"})}
	o.Reg.MustRegister(d.done)
	return d
}

// Deliver implements queue.Deliver: it calls the receiver once and writes what came of it.
func (d *Deliverer) Deliver(ctx context.Context, id model.WebhookID, event model.EventID, number int) error {
	if !d.enter(id) {
		return queue.ErrBusy
	}
	defer d.leave(id)
	hook, e, err := d.read(ctx, id, event)
	if err != nil || hook == nil {
		return err
	}
	a := &model.WebhookAttempt{Webhook: id, Event: event, Type: e.Type, Number: number, At: time.Now().UTC()}
	d.call(ctx, hook, e, a)
	if ctx.Err() != nil {
		return ctx.Err() // this replica ends; another one calls again
	}
	gone := a.Status == http.StatusGone
	over := a.Problem == "" || gone || e.Type == model.WebhookTest || number > len(model.WebhookRetries)
	_, err = d.Store.Tx(ctx, "worker:webhooks", func(tx *store.Tx) error {
		if err := tx.AddWebhookAttempt(ctx, a, over); err != nil {
			return err
		}
		if gone {
			return tx.DisableWebhook(ctx, id)
		}
		return nil
	})
	if fault.Of(err) == fault.NotFound || fault.Of(err) == fault.Invalid { // it has been removed meanwhile
		return nil
	}
	d.count(hook, a, over)
	if err == nil && !over {
		err = errors.New(a.Problem)
	}
	return err
}

func (d *Deliverer) count(hook *model.Webhook, a *model.WebhookAttempt, over bool) {
	result := "failed"
	switch {
	case a.Problem == "":
		result = "delivered"
	case over:
		result = "given up"
		d.Log.Warn("event not delivered", "webhook", hook.ID.String(), "event", a.Event.String(), "attempts", a.Number, "problem", a.Problem)
	}
	d.done.WithLabelValues(result).Inc()
}

func (d *Deliverer) enter(id model.WebhookID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[id] >= atOnce {
		return false
	}
	d.busy[id]++
	return true
}

func (d *Deliverer) leave(id model.WebhookID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[id]--; d.busy[id] == 0 {
		delete(d.busy, id)
	}
}

// read returns nothing where there is nothing to deliver any more.
func (d *Deliverer) read(ctx context.Context, id model.WebhookID, event model.EventID) (hook *model.Webhook, e *model.Event, err error) {
	err = d.Store.View(ctx, func(tx *store.Tx) error {
		waits, err := tx.Undelivered(ctx, id, event)
		if err != nil || !waits {
			return err
		}
		if e, err = tx.GetEvent(ctx, event); err != nil {
			return err
		}
		hook, err = tx.GetWebhook(ctx, id)
		return err
	})
	if fault.Of(err) == fault.NotFound || err == nil && hook != nil && !hook.Enabled && e.Type != model.WebhookTest {
		return nil, nil, nil
	}
	return hook, e, err
}

// message is what a receiver gets.
type message struct {
	ID           string          `json:"id"`
	Type         model.EventType `json:"type"`
	Timestamp    time.Time       `json:"timestamp"`
	Organization string          `json:"organization,omitempty"`
	Object       string          `json:"object"`
	Data         json.RawMessage `json:"data"`
}

// call makes one call. Nothing of the URL gets into what it says: receivers' secrets stand in paths.
func (d *Deliverer) call(ctx context.Context, hook *model.Webhook, e *model.Event, a *model.WebhookAttempt) {
	req, err := d.request(ctx, hook, e, a.At)
	if err != nil {
		a.Problem = err.Error()
		return
	}
	resp, err := d.client.Do(req)
	if err == nil {
		defer resp.Body.Close()
		a.Status = resp.StatusCode
		var body []byte
		if body, err = io.ReadAll(io.LimitReader(resp.Body, shown)); err == nil {
			_, err = io.CopyN(io.Discard, resp.Body, maxAnswer-shown)
			if errors.Is(err, io.EOF) {
				err = nil
			}
		}
		a.Answer = printable(body)
	}
	a.Took = time.Since(a.At)
	switch {
	case err != nil:
		a.Problem = problem(err)
	case a.Status/100 == 3:
		a.Problem = "redirects are not followed: write the URL that it leads to"
	case a.Status == http.StatusGone:
		a.Problem = "gone, says the receiver: the webhook is disabled"
	case a.Status/100 != 2:
		a.Problem = "want a status of 2xx"
	}
}

func (d *Deliverer) request(ctx context.Context, hook *model.Webhook, e *model.Event, now time.Time) (*http.Request, error) {
	body, err := json.Marshal(message{e.ID.String(), e.Type, e.At, e.Org.String(), e.Object, e.Data})
	if err != nil {
		return nil, fmt.Errorf("event can't be written: %w", err)
	}
	secret, err := d.Opener.Open(hook.SealedSecret, hook.ID.String())
	if err != nil {
		return nil, errors.New("the signing key can't be opened")
	}
	signer, err := standardwebhooks.NewWebhookRaw(secret)
	if err != nil {
		return nil, errors.New("the signing key can't be used")
	}
	signature, err := signer.Sign(e.ID.String(), now, body)
	if err != nil {
		return nil, errors.New("the signing key can't be used")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the URL can't be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", d.UserAgent)
	req.Header.Set(standardwebhooks.HeaderWebhookID, e.ID.String())
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	return req, nil
}

// problem says why there is no answer, without the URL.
func problem(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		if u.Timeout() {
			return "no answer within " + deadline.String()
		}
		err = u.Err
	}
	return printable([]byte(err.Error()))
}

// printable is text that a database and a terminal can take.
func printable(b []byte) string {
	text := strings.ToValidUTF8(string(b[:min(len(b), shown)]), "\uFFFD")
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
