package acme_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/acme/acmetest"
)

// stored is all that a workflow keeps of an order between its steps, each of which may be another process's.
type stored struct {
	names       []string
	key         []byte // of the certificate request, here the request itself
	url         string
	certificate string
	chain       []byte
}

// step carries an order on by one request or a few.
func (s *setup) step(ctx context.Context, c *acme.Client, o *stored, known func(url string) bool) (done bool, err error) {
	if o.url == "" {
		return false, s.ordered(ctx, c, o, known)
	}
	if o.certificate != "" {
		o.chain, _, err = c.Certificate(ctx, o.certificate)
		return err == nil, err
	}
	order, err := c.Order(ctx, o.url)
	if err != nil {
		return false, err
	}
	switch order.Status {
	case acme.StatusPending:
		return false, s.prove(ctx, c, order)
	case acme.StatusReady:
		_, err := c.Finalize(ctx, order, o.key)
		if acme.Class(err) == acme.OrderNotReady { // it was, and the reply was lost
			err = nil
		}
		return false, err
	case acme.StatusValid:
		o.certificate = order.Certificate
	case acme.StatusInvalid:
		return false, fmt.Errorf("order is invalid: %w", order.Error)
	}
	return false, nil
}

// ordered makes the order, or finds it if an earlier reply was lost.
func (s *setup) ordered(ctx context.Context, c *acme.Client, o *stored, known func(string) bool) error {
	urls, err := c.Orders(ctx)
	if err != nil {
		return err
	}
	for _, url := range urls {
		if known(url) {
			continue
		}
		order, err := c.Order(ctx, url)
		if err != nil {
			return err
		}
		if slices.Equal(order.Names, o.names) {
			o.url = url
			return nil
		}
	}
	order, err := c.NewOrder(ctx, o.names, "default", "")
	if err == nil {
		o.url = order.URL
	}
	return err
}

// drive steps until the chain is there, as a workflow would: what may be tried again is, when it may. After
// every fourth failure, and between any two steps if always is set, the process is another one: its client
// knows nothing but the account.
func (s *setup) drive(ctx context.Context, t testing.TB, account string, o *stored, always bool, known func(string) bool) error {
	c := s.client(t, account)
	for failed := 0; ; {
		done, err := s.step(ctx, c, o, known)
		if err != nil {
			failed++
		}
		if always || err != nil && failed%4 == 0 {
			c = s.client(t, account)
		}
		if done || ctx.Err() != nil {
			return ctx.Err()
		}
		switch acme.Class(err) {
		case acme.None:
			continue
		case acme.Retry:
			time.Sleep(5 * time.Millisecond)
		case acme.RateLimited:
			time.Sleep(time.Until(acme.RetryAfter(err)))
		default:
			return fmt.Errorf("%v: %w", o.names, err)
		}
	}
}

func TestT43HostileCA(t *testing.T) {
	s := start(t, acmetest.Config{NonceReject: 50})
	account := s.registered(t).AccountURL()
	s.proxy.Set(acmetest.Faults{Fail: 0.2, Lose: 0.1, HTML: 0.03, HTMLAfter: 0.03, Trickle: 0.05, TrickleFor: 20 * time.Millisecond})
	for _, k := range []acmetest.Kind{acmetest.NewOrder, acmetest.AuthzRead, acmetest.Finalize} {
		s.proxy.Next(k, acmetest.Limit)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	const orders = 6
	urls := map[string]bool{}
	for i := range orders { // one after the other, since a limit is for all orders of the account
		names := []string{fmt.Sprintf("*.h%d.example", i), fmt.Sprintf("h%d.example", i)}
		o := &stored{names: names, key: csr(t, newKey(t), names...)}
		if err := s.drive(ctx, t, account, o, false, func(url string) bool { return urls[url] }); err != nil {
			t.Fatal(err)
		}
		urls[o.url] = true
		verify(t, s.ca, 0, parse(t, o.chain), strings.TrimPrefix(names[0], "*."))
	}
	t.Log(s.proxy)
	if n := len(s.proxy.NewOrders()); n != orders {
		t.Errorf("orders for %d sets of names, want %d", n, orders)
	}
	for names, n := range s.proxy.NewOrders() {
		if n != 1 {
			t.Errorf("%s was ordered %d times", names, n)
		}
	}
	for url, n := range s.proxy.Finalized() {
		if n != 1 {
			t.Errorf("%s was finalized %d times", url, n)
		}
	}
	if f := s.proxy.FailedValidations(); len(f) != 0 {
		t.Errorf("failed validations: %v", f)
	}
	if d := s.proxy.Duplicates(); len(d) != 0 {
		t.Errorf("ordered twice: %v", d)
	}
	if v := s.proxy.Violations(); len(v) != 0 {
		t.Errorf("requests inside of a Retry-After: %+v", v)
	}
	done := s.proxy.Done()
	for _, f := range []acmetest.Fault{acmetest.Fail, acmetest.Lose, acmetest.Limit, acmetest.HTML, acmetest.HTMLAfter, acmetest.Trickle} {
		if done[f] == 0 {
			t.Errorf("fault %d was never done: this test shows less than it says", f)
		}
	}
}

// Whatever the reply that is lost, the work is neither lost nor done twice.
func TestLostReplies(t *testing.T) {
	s := start(t, acmetest.Config{})
	account := s.registered(t).AccountURL()
	for i, kind := range []acmetest.Kind{
		acmetest.NewOrder, acmetest.OrderRead, acmetest.AuthzRead, acmetest.Initiate, acmetest.Finalize, acmetest.Download, acmetest.OrdersRead, acmetest.AccountRead,
	} {
		for _, fault := range []acmetest.Fault{acmetest.Lose, acmetest.HTMLAfter} {
			name := fmt.Sprintf("l%d-%d.example", i, fault)
			o := &stored{names: []string{name}, key: csr(t, newKey(t), name)}
			before := s.proxy.Done()[fault]
			s.proxy.Next(kind, fault)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := s.drive(ctx, t, account, o, true, func(string) bool { return false })
			cancel()
			if err != nil || len(o.chain) == 0 {
				t.Errorf("%s: chain of %d bytes, error %v", kind, len(o.chain), err)
			}
			if n := s.proxy.NewOrders()[name]; n != 1 {
				t.Errorf("%s: %d orders at the CA", kind, n)
			}
			if s.proxy.Done()[fault] != before+1 {
				t.Errorf("%s: the reply was not lost", kind)
			}
		}
	}
	for url, n := range s.proxy.Finalized() {
		if n != 1 {
			t.Errorf("%s was finalized %d times", url, n)
		}
	}
}

// A CA that refuses, and one that is away.
func TestRefusals(t *testing.T) {
	s := start(t, acmetest.Config{Blocked: []string{"blocked.example"}})
	c := s.registered(t)
	ctx := t.Context()
	_, err := c.NewOrder(ctx, []string{"a.blocked.example"}, "default", "")
	if acme.Class(err) != acme.Terminal || !strings.Contains(err.Error(), "rejectedIdentifier") {
		t.Errorf("blocked: %v (%v)", err, acme.Class(err))
	}
	o, err := c.NewOrder(ctx, []string{"silent.example"}, "default", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Finalize(ctx, o, csr(t, newKey(t), "silent.example")); acme.Class(err) != acme.OrderNotReady {
		t.Errorf("finalize of a pending order: %v (%v)", err, acme.Class(err))
	}
	a, err := c.Authorization(ctx, o.Authorizations[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Initiate(ctx, a.Challenge(acme.DNS01).URL); err != nil { // nothing is in DNS
		t.Fatal(err)
	}
	a, err = poll(ctx, readAuthz(c, a.URL), func(a *acme.Authorization) bool { return a.Status != acme.StatusPending })
	if err != nil {
		t.Fatal(err)
	}
	p := a.Err()
	if acme.Class(p) != acme.Refused || !strings.Contains(p.Error(), "silent.example") {
		t.Errorf("failed validation: %v (%v)", p, acme.Class(p))
	}
	if o, err = c.Order(ctx, o.URL); err != nil || o.Status != acme.StatusInvalid || o.Error == nil {
		t.Errorf("order %+v, error %v", o, err)
	}
	if f := s.proxy.FailedValidations(); len(f) != 1 {
		t.Errorf("the proxy has counted %v", f)
	}
	for _, gone := range []func() error{
		func() error { _, err := c.Order(ctx, o.URL+"x"); return err },
		func() error { _, err := c.Authorization(ctx, a.URL+"x"); return err },
	} {
		if err := gone(); acme.Class(err) != acme.Gone {
			t.Errorf("%v (%v), want gone", err, acme.Class(err))
		}
	}
	o, err = c.NewOrder(ctx, []string{"unwanted.example"}, "default", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Deactivate(ctx, o.Authorizations[0]); err != nil {
		t.Error(err)
	}
	if a, err := c.Authorization(ctx, o.Authorizations[0]); err != nil || a.Status != acme.StatusDeactivated {
		t.Errorf("authorization %+v, error %v", a, err)
	}
	s.proxy.Down(true)
	if _, err := c.NewOrder(ctx, []string{"away.example"}, "default", ""); acme.Class(err) != acme.Retry {
		t.Errorf("away: %v (%v)", err, acme.Class(err))
	}
	s.proxy.Down(false)
	if _, err := c.NewOrder(ctx, []string{"away.example"}, "default", ""); err != nil {
		t.Errorf("back: %v", err)
	}
}

// lego's Core would order again without replaces, and say nothing.
func TestAlreadyReplaced(t *testing.T) {
	s := start(t, acmetest.Config{})
	c := s.registered(t)
	chain, _ := s.issue(t, c, newKey(t), "default", "", "again.example")
	id, err := acme.CertID(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	second, _ := s.issue(t, c, newKey(t), "default", id, "again.example")
	if len(second) == 0 {
		t.Fatal("no renewal")
	}
	before := s.proxy.Requests()[acmetest.NewOrder]
	o, err := c.NewOrder(t.Context(), []string{"again.example"}, "default", id)
	if acme.Class(err) != acme.AlreadyReplaced {
		t.Errorf("order %+v, error %v (%v)", o, err, acme.Class(err))
	}
	if n := s.proxy.Requests()[acmetest.NewOrder] - before; n != 1 {
		t.Errorf("%d requests for it", n)
	}
}
