package acme_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/acme"
)

// fake is a CA without a network, for replies that no CA should give and for time that is not waited for.
// It answers directory and nonces itself.
type fake struct {
	t      testing.TB
	handle http.HandlerFunc
	meta   string // JSON of the directory's meta
	nonces int    // given by new-nonce
	calls  map[string]int
}

func newFake(t testing.TB, handle http.HandlerFunc) *fake {
	return &fake{t: t, handle: handle, meta: `{}`, calls: map[string]int{}}
}

const base = "https://ca.test"

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	f.calls[r.URL.Path]++
	w := httptest.NewRecorder()
	switch r.URL.Path {
	case "/dir":
		fmt.Fprintf(w, `{"newNonce":"%[1]s/nonce","newAccount":"%[1]s/acct","newOrder":"%[1]s/order","revokeCert":"%[1]s/revoke",
			"keyChange":"%[1]s/key","renewalInfo":"%[1]s/ari","meta":%[2]s}`, base, f.meta)
	case "/nonce":
		f.nonces++
		w.Header().Set("Replay-Nonce", fmt.Sprintf("n%d", f.nonces))
	default:
		if r.Method == http.MethodPost {
			w.Header().Set("Replay-Nonce", fmt.Sprintf("r%d", f.calls[r.URL.Path]))
		}
		f.handle(w, r)
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (f *fake) client(t testing.TB) *acme.Client {
	t.Helper()
	c, err := acme.New(acme.Options{Directory: base + "/dir", Key: newKey(t), AccountURL: base + "/acct/1", Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// nonceOf reads what a request was signed with.
func nonceOf(t testing.TB, r *http.Request) string {
	t.Helper()
	var jws struct{ Protected string }
	if err := json.NewDecoder(r.Body).Decode(&jws); err != nil {
		t.Fatal(err)
	}
	var head struct{ Nonce string }
	if err := json.NewDecoder(base64Reader(jws.Protected)).Decode(&head); err != nil {
		t.Fatal(err)
	}
	return head.Nonce
}

func problem(w http.ResponseWriter, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q}`, kind, detail)
}

func orderJSON(status string, more ...string) string {
	return fmt.Sprintf(`{"status":%q,"identifiers":[{"type":"dns","value":"a.example"}],"finalize":"%s/final","authorizations":["%[2]s/authz"]%[3]s}`,
		status, base, strings.Join(more, ""))
}
