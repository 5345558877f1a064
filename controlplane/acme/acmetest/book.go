package acmetest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Violation is a request inside of a Retry-After.
type Violation struct {
	Kind    Kind
	Account string
	Path    string
	Early   time.Duration
}

// Entry is one request and what came of it.
type Entry struct {
	At      time.Time
	Kind    Kind
	Account string
	Path    string
	Names   string // of new-order: sorted, joined by commas
	Fault   Fault
	Status  int // of the CA's reply; zero: it has heard nothing
}

// maxEntries bounds the log.
const maxEntries = 1 << 20

// book is what a Proxy has seen.
type book struct {
	entries   []Entry
	orders    map[string]*seen // by ID
	last      map[string]*seen // by names: the newest order
	twice     []string
	requests  map[Kind]int
	faults    map[Fault]int
	newOrders map[string]int // names → orders that the CA made
	finalized map[string]int // path of finalize → how often the CA accepted it
	failed    map[string]string
	invalid   map[string]string
	issued    map[string]bool   // paths of certificates in orders
	replaces  map[string]int    // certificates that orders say they replace (RFC 9773 §5)
	types     map[string]string // last part of a challenge's URL → its type, as authorizations say
	initiated map[string]string // path of a challenge that the CA was told to look at → its type
	repeated  int
	waits
}

// seen is an order that the CA has made.
type seen struct {
	names, status string
	account, url  string
	body          []byte // as it was read last
}

func newBook() book {
	return book{
		requests: map[Kind]int{}, faults: map[Fault]int{}, newOrders: map[string]int{}, finalized: map[string]int{},
		failed: map[string]string{}, invalid: map[string]string{}, orders: map[string]*seen{}, last: map[string]*seen{}, issued: map[string]bool{}, replaces: map[string]int{}, types: map[string]string{}, initiated: map[string]string{}, waits: newWaits(),
	}
}

func (b *book) arrived(a asked, now time.Time) {
	b.requests[a.kind]++
	b.waits.arrived(a, now)
}

// answered reads what the CA said, whether or not the client will. It returns the number of the wait that the reply asks for, 0 if it asks for none.
func (b *book) answered(a asked, status int, h http.Header, body []byte, now time.Time) int {
	until := retryAfter(h, now)
	if !until.IsZero() && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) {
		return b.limited(a, now, until)
	}
	if status/100 != 2 {
		return 0
	}
	var o struct {
		Status, Certificate string
		Identifier          struct{ Value string }
		Challenges          []struct{ Type, URL string }
	}
	_ = json.Unmarshal(body, &o) // chains are no JSON
	switch a.kind {
	case NewOrder:
		b.newOrders[a.names]++
		if a.replaces != "" {
			b.replaces[a.replaces]++
		}
		if before := b.last[a.names]; before != nil && before.status != "valid" && before.status != "invalid" {
			b.twice = append(b.twice, a.names)
		}
		made := &seen{names: a.names, status: o.Status, account: a.account, url: h.Get("Location"), body: body}
		b.orders[id(made.url)], b.last[a.names] = made, made
	case Finalize:
		b.finalized[a.path]++
	case Initiate:
		b.initiated[a.path] = b.types[id(a.path)]
	case AuthzRead:
		for _, c := range o.Challenges {
			b.types[id(c.URL)] = c.Type
		}
		if o.Status == "invalid" {
			b.failed[a.path] = o.Identifier.Value
		}
	}
	if order := b.orders[id(a.path)]; order != nil && (a.kind == OrderRead || a.kind == Finalize) {
		order.body = body
		if order.status = o.Status; o.Status == "invalid" {
			b.invalid[a.path] = order.names
		}
	}
	if o.Certificate != "" {
		b.issued[o.Certificate] = true
	}
	return b.polled(a, h, now)
}

// id is what the URLs of an order have in common.
func id(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

func (b *book) enter(e Entry) {
	if len(b.entries) < maxEntries {
		b.entries = append(b.entries, e)
	}
}

func retryAfter(h http.Header, now time.Time) time.Time {
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil {
		return now.Add(time.Duration(n) * time.Second)
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return time.Time{}
	}
	return t
}
