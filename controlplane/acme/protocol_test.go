package acme_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func base64Reader(s string) io.Reader {
	return base64.NewDecoder(base64.RawURLEncoding, strings.NewReader(s))
}

// A nonce is used once; a reply's is used before another is asked for; replies that refuse bring nonces, too.
func TestNonces(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		seen := map[string]int{}
		bad := 0
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			seen[nonceOf(t, r)]++
			if bad > 0 {
				bad--
				problem(w, 400, "badNonce", "again")
				return
			}
			io.WriteString(w, orderJSON("pending"))
		})
		c := f.client(t)
		read := func() error { _, err := c.Order(t.Context(), base+"/o"); return err }
		for range 3 {
			if err := read(); err != nil {
				t.Fatal(err)
			}
		}
		if f.nonces != 1 {
			t.Errorf("new-nonce was asked %d times, want once", f.nonces)
		}
		bad = 11
		if err := read(); err != nil {
			t.Errorf("after 11 bad nonces: %v", err)
		}
		before := f.calls["/o"]
		bad = 1 << 20
		err := read()
		if n := f.calls["/o"] - before; acme.Class(err) != acme.Retry || n != 12 {
			t.Errorf("%d tries at a CA that takes no nonce, error %v", n, err)
		}
		bad = 0
		time.Sleep(11 * time.Minute)
		if err := read(); err != nil || f.nonces != 2 {
			t.Errorf("old nonces: new-nonce was asked %d times, error %v", f.nonces, err)
		}
		for n, times := range seen {
			if times != 1 || n == "" {
				t.Errorf("nonce %q was used %d times", n, times)
			}
		}
	})
}

// Whoever says badNonce with a Retry-After is obeyed: the call ends at once.
func TestBadNonceWithRetryAfter(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "60")
		problem(w, 400, "badNonce", "later")
	})
	_, err := f.client(t).Order(t.Context(), base+"/o")
	if f.calls["/o"] != 1 || acme.RetryAfter(err).IsZero() {
		t.Errorf("%d tries, error %v", f.calls["/o"], err)
	}
}

func TestRetryAfterOnEveryReply(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		at := time.Now().Add(90 * time.Second)
		date := func(t time.Time) string { return t.UTC().Format(http.TimeFormat) }
		const off = 5 * time.Hour // their clock
		for _, c := range []struct{ header, date string }{
			{"90", ""}, {date(at), ""}, {date(at), date(time.Now())}, {date(at.Add(off)), date(time.Now().Add(off))}, {date(at.Add(-off)), date(time.Now().Add(-off))},
		} {
			header := c.header
			body, status := orderJSON("processing"), http.StatusOK
			f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", header)
				if c.date != "" {
					w.Header().Set("Date", c.date)
				}
				w.Header().Set("Location", base+"/o")
				w.WriteHeader(status)
				io.WriteString(w, body)
			})
			c := f.client(t)
			same := func(what string, got time.Time, err error) {
				t.Helper()
				if d := got.Sub(at); err != nil || d < -time.Second || d > time.Second { // a date has no fractions
					t.Errorf("%s, Retry-After %s: %v, want %v (error %v)", what, header, got, at, err)
				}
			}
			o, err := c.Order(t.Context(), base+"/o")
			if err != nil {
				t.Fatal(err)
			}
			same("order", o.RetryAfter, err)
			o, err = c.Finalize(t.Context(), o, []byte("csr"))
			same("finalize", o.RetryAfter, err)
			body = `{"status":"pending","identifier":{"type":"dns","value":"a.example"},"challenges":[]}`
			a, err := c.Authorization(t.Context(), base+"/authz")
			same("authorization", a.RetryAfter, err)
			for _, status = range []int{429, 503, 500, 400, 403} {
				for _, body = range []string{`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow down"}`, "<html>", ""} {
					_, err := c.NewOrder(t.Context(), []string{"a.example"}, "", "")
					same(http.StatusText(status), acme.RetryAfter(err), nil)
					if limited := acme.Class(err) == acme.RateLimited; limited != (status == 429 || status == 503 || status < 500 && strings.HasPrefix(body, "{")) {
						t.Errorf("%d %q: class %v", status, body, acme.Class(err))
					}
				}
			}
		}
	})
}

// A Retry-After of a year is obeyed for as long as it can make sense: of what is being worked on for an hour, of a refusal for a day, of a limit for
// a week.
func TestRetryAfterOfAYear(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		now := time.Now()
		year := now.AddDate(1, 0, 0).UTC().Format(http.TimeFormat)
		for _, header := range []string{"31536000", year, "99999999999999999999"} {
			body, status := orderJSON("processing"), http.StatusOK
			f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(status)
				io.WriteString(w, body)
			})
			c := f.client(t)
			check := func(what string, got time.Time, want time.Duration) {
				t.Helper()
				if got.Sub(now) != want {
					t.Errorf("%s, Retry-After %s: %v, want %v", what, header, got.Sub(now), want)
				}
			}
			o, err := c.Order(t.Context(), base+"/o")
			if err != nil {
				t.Fatal(err)
			}
			check("order", o.RetryAfter, time.Hour)
			if o, err = c.Finalize(t.Context(), o, []byte("csr")); err != nil {
				t.Fatal(err)
			}
			check("finalize", o.RetryAfter, time.Hour)
			body = `{"status":"pending","identifier":{"type":"dns","value":"a.example"},"challenges":[]}`
			a, err := c.Authorization(t.Context(), base+"/authz")
			if err != nil {
				t.Fatal(err)
			}
			check("authorization", a.RetryAfter, time.Hour)
			body = `{"status":"what"}`
			_, err = c.Order(t.Context(), base+"/o")
			check("an order of no use", acme.RetryAfter(err), time.Hour)
			for _, p := range []struct {
				status int
				kind   string
				want   time.Duration
			}{
				{429, "rateLimited", 7 * 24 * time.Hour}, {403, "rateLimited", 7 * 24 * time.Hour}, {429, "", 7 * 24 * time.Hour}, {503, "", 24 * time.Hour}, {403, "unauthorized", 24 * time.Hour},
				{400, "malformed", 24 * time.Hour}, {500, "serverInternal", time.Hour}, {404, "", time.Hour}, {400, "accountDoesNotExist", time.Hour},
			} {
				if status, body = p.status, ""; p.kind != "" {
					body = fmt.Sprintf(`{"type":"urn:ietf:params:acme:error:%s","detail":"no"}`, p.kind)
				}
				_, err := c.NewOrder(t.Context(), []string{"a.example"}, "", "")
				check(fmt.Sprint(p.status, " ", p.kind), acme.RetryAfter(err), p.want)
			}
		}
	})
}

// The transport that is given is the caller's: used, never wrapped, never closed.
func TestTransportIsLeftAlone(t *testing.T) {
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if ua := r.Header.Get("User-Agent"); ua != "warren" {
			t.Errorf("User-Agent %q", ua)
		}
		io.WriteString(w, orderJSON("pending"))
	})
	own := &http.Client{Transport: f}
	for range 3 {
		c, err := acme.New(acme.Options{Directory: base + "/dir", Key: newKey(t), AccountURL: base + "/acct/1", Transport: own.Transport})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := c.Order(t.Context(), base+"/o"); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
	}
	if own.Transport != f {
		t.Errorf("the client's transport became %T", own.Transport)
	}
	if f.calls["/dir"] != 3 || f.calls["/o"] != 9 {
		t.Errorf("requests %v", f.calls)
	}
}

// The directory is read once an hour, however many calls there are.
func TestDirectoryIsKept(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		f := newFake(t, nil)
		f.meta = `{"profiles":{"classic":"x"}}`
		c := f.client(t)
		for range 5 {
			if _, err := c.Directory(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if f.calls["/dir"] != 1 {
			t.Errorf("read %d times", f.calls["/dir"])
		}
		for range 3 { // a profile that is not there is looked for once a minute
			if _, err := c.NewOrder(t.Context(), []string{"a.example"}, "new", ""); acme.Class(err) != acme.Terminal {
				t.Error(err)
			}
		}
		time.Sleep(2 * time.Minute)
		for range 3 {
			_, _ = c.NewOrder(t.Context(), []string{"a.example"}, "new", "")
		}
		if f.calls["/dir"] != 2 {
			t.Errorf("read %d times, want 2", f.calls["/dir"])
		}
		time.Sleep(time.Hour)
		if _, err := c.Directory(t.Context()); err != nil || f.calls["/dir"] != 3 {
			t.Errorf("read %d times after an hour, error %v", f.calls["/dir"], err)
		}
	})
}

// A list of orders may have pages, no end, and things in it that are no URLs.
func TestOrdersList(t *testing.T) {
	pages := 0
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/acct/1" && pages < 0:
			io.WriteString(w, `{"status":"valid"}`)
		case r.URL.Path == "/acct/1":
			io.WriteString(w, `{"status":"valid","orders":"https://ca.test/list?0"}`)
		default:
			if pages--; pages > 0 {
				w.Header().Set("Link", `</list?next>;rel="next"`)
			}
			io.WriteString(w, `{"orders":["https://ca.test/o/1","javascript:x","https://ca.test/o/2"`+strings.Repeat(`,"https://ca.test/o/3"`, 198)+`]}`)
		}
	})
	c := f.client(t)
	for many, want := range map[int]int{1: 200, 3: 600, 1 << 20: 10_000} {
		pages = many
		if urls, err := c.Orders(t.Context()); err != nil || len(urls) != want {
			t.Errorf("%d pages: %d orders, want %d, error %v", many, len(urls), want, err)
		}
	}
	if n := f.calls["/list"]; n != 1+3+50 {
		t.Errorf("%d pages were read", n)
	}
	pages = -1
	if _, err := c.Orders(t.Context()); !errors.Is(err, acme.ErrNoOrders) {
		t.Errorf("without a list: %v", err)
	}
}
