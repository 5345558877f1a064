package gate_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/shared/accesstoken"
)

// T9: a thousand people at once, each of whom has signed in in a browser of his own, whose requests share connections to the
// node and from it to the target, and whose tokens and secrets look alike. Each gets the answer to what he has asked for, as
// himself; with somebody else's token, or secret, he gets none.
func TestT9_AThousandPeopleAtOnce(t *testing.T) {
	const people, conns = 1000, 16
	n := newNode(t, members(), func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Header.Get("Remote-User"), r.Header.Get("Remote-Name"), r.URL.Path)
	})
	type person struct{ mail, token, secret string }
	all := make([]person, people)
	for i := range all {
		p := person{mail: fmt.Sprintf("%03d@example.org", i), secret: strings.Repeat("s", 39) + fmt.Sprintf("%04d", i)}
		c := &accesstoken.Claims{Issuer: cluster, Audience: host, Subject: fmt.Sprintf("user_%03d", i), Session: fmt.Sprint("session_", i), Org: org,
			Email: p.mail, Name: "Alice", Binding: accesstoken.Binding(p.secret)}
		c.Issue(time.Now())
		var err error
		if p.token, err = accesstoken.Sign(n.plane.key, "k", c); err != nil {
			t.Fatal(err)
		}
		all[i] = p
	}
	var browsers [conns]*http.Client
	for i := range browsers {
		browsers[i] = n.browser(true)
		browsers[i].Jar, browsers[i].Timeout = nil, time.Minute // they wait for each other
		if i%2 == 0 {                                           // HTTP/1.1, a few connections for all
			tr := browsers[i].Transport.(*http.Transport)
			tr.ForceAttemptHTTP2, tr.MaxConnsPerHost = false, 4
		}
	}
	once := func(b *http.Client, path, token, secret string) (status int, body string, err error) {
		r, err := http.NewRequest(http.MethodGet, "https://"+host+path, nil)
		if err != nil {
			return 0, "", err
		}
		r.Header.Set("Cookie", "__Host-warren-browser="+secret+"; __Host-warren-access="+token)
		resp, err := b.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		if len(resp.Cookies()) > 0 {
			t.Errorf("%s: cookies %v", path, resp.Cookies())
		}
		text, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text), err
	}
	// On a busy machine the node ends connections on which nothing has come in its time, and says so where it could not dial the target
	// in its time: what was on its way is asked again.
	ask := func(b *http.Client, path, token, secret string) (status int, body string) {
		var err error
		for range 100 {
			if status, body, err = once(b, path, token, secret); err == nil && status < 500 {
				return status, body
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("%s: %d %s, %v", path, status, body, err)
		return 0, ""
	}
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() {
			b, other := browsers[i%conns], all[(i+conns)%people]
			path := fmt.Sprintf("/of/%d", i)
			if status, body := ask(b, path, p.token, p.secret); status != http.StatusOK || body != p.mail+" Alice "+path {
				t.Errorf("%s asks for %s and gets %d %s", p.mail, path, status, body)
			}
			if i%20 > 0 {
				return
			}
			path = fmt.Sprintf("/stolen/%d", i)
			for _, stolen := range [][2]string{{other.token, p.secret}, {p.token, other.secret}} {
				if status, _ := ask(b, path, stolen[0], stolen[1]); status != http.StatusUnauthorized {
					t.Errorf("%s with what is in part %s's: %d", p.mail, other.mail, status)
				}
			}
		})
	}
	wg.Wait()
	came := map[string]bool{}
	for _, r := range n.got() {
		came[r.URL.Path] = true
		var i int
		if _, err := fmt.Sscanf(r.URL.Path, "/of/%d", &i); err != nil || r.Header.Get("Remote-User") != all[i].mail || r.Header.Get("Warren-Assertion") != all[i].token {
			t.Errorf("%s is %s's at the target", r.URL.Path, r.Header.Get("Remote-User"))
		}
	}
	if len(came) != people {
		t.Errorf("requests of %d people came to the target, want %d", len(came), people)
	}
}
