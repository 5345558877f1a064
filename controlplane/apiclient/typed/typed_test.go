package typed

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/apiclient"
)

// server answers everything with one body, and keeps the last call.
type server struct {
	*httptest.Server
	last, sent, tag string
}

func serve(t *testing.T, status int, body string) (*server, Client) {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.tag = r.Header.Get("If-Match")
		s.last, s.sent = r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.Query().Encode(), string(b)
		w.Header().Set(apiclient.RevisionHeader, "7")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	c, err := apiclient.New(apiclient.Options{Server: s.URL, Key: "key"})
	if err != nil {
		t.Fatal(err)
	}
	return s, New(c)
}

func TestCallsAreWhatTheTypesSay(t *testing.T) {
	s, c := serve(t, 200, `{"items":[{"name":"n1","pool":"p","addresses":null,"enrolled":true,"capacity":1,"lifecycle":"active"}],"next_page_token":"x"}`)
	page, w, err := c.ListNodes(t.Context(), ListNodesParams{PageSize: 2, Label: []string{"a=b", "c=d"}})
	if err != nil || len(page.Items) != 1 || page.Items[0].Name != "n1" || !page.Items[0].Enrolled || page.NextPageToken != "x" || w.Revision != 7 || w.Changed {
		t.Errorf("%+v, %+v, %v", page, w, err)
	}
	if want := "GET /api/v1/nodes?label=a%3Db&label=c%3Dd&page_size=2"; s.last != want {
		t.Errorf("%s, want %s", s.last, want)
	}
	_, w, err = c.PutSite(t.Context(), "a/b", "c d", PutSiteParams{DryRun: true}, SiteBody{Name: "c d", Pool: "p"})
	if want := "PUT /api/v1/orgs/a%2Fb/sites/c%20d?dry_run=true"; err != nil || s.last != want || s.sent != `{"name":"c d","pool":"p"}` || !w.Changed {
		t.Errorf("%s %s, %v; want %s", s.last, s.sent, err, want)
	}
	at := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	if _, _, err := c.Explain(t.Context(), "o", ExplainParams{URL: "https://x/", Asn: 4_200_000_000, At: at}); err != nil {
		t.Error(err)
	}
	if want := "GET /api/v1/orgs/o/explain?asn=4200000000&at=2027-01-31T12%3A00%3A00Z&url=https%3A%2F%2Fx%2F"; s.last != want {
		t.Errorf("%s, want %s", s.last, want)
	}
}

func TestFaultsAreTheTransports(t *testing.T) {
	_, c := serve(t, 409, `{"title":"Conflict","status":409,"detail":"it is there"}`)
	_, _, err := c.GetSite(t.Context(), "o", "x")
	if p, ok := errors.AsType[*apiclient.Problem](err); !ok || p.Status != 409 || p.Detail != "it is there" {
		t.Errorf("%v", err)
	}
}

func TestAllReadsEveryPage(t *testing.T) {
	var asked []string
	got, err := All(func(token string) ([]int, string, error) {
		asked = append(asked, token)
		return []int{len(asked)}, map[string]string{"": "a", "a": "b"}[token], nil
	})
	if err != nil || len(got) != 3 || len(asked) != 3 || asked[2] != "b" {
		t.Errorf("%v, %q, %v", got, asked, err)
	}
}

// Fields go through the types: what is empty is said, what is not there is not, and what the type does not have is an error.
func TestObjectsOfAnyKind(t *testing.T) {
	s, c := serve(t, 200, `{"name":"le","id":"issuer_1","rank":0,"directory_url":"https://x/"}`)
	o, w, err := c.If("\"7\"").Objects("issuers", "").Put(t.Context(), "le", map[string]any{"directory_url": "https://x/", "rank": 0, "labels": map[string]any{}, "contacts": []string{}})
	if err != nil || !w.Changed || s.tag != "\"7\"" || s.last != "PUT /api/v1/issuers/le?" {
		t.Fatalf("%s %q, %+v, %v", s.last, s.tag, w, err)
	}
	if want := `{"contacts":[],"directory_url":"https://x/","labels":{},"rank":0}`; s.sent != want {
		t.Errorf("%s, want %s", s.sent, want)
	}
	if !strings.HasPrefix(string(o), `{"name":"le","id":"issuer_1",`) {
		t.Errorf("%s", o)
	}
	s.last = ""
	if _, _, err := c.Objects("sites", "default").Create(t.Context(), map[string]any{"name": "x", "pol": "p"}); err == nil || !strings.Contains(err.Error(), `"pol"`) || s.last != "" {
		t.Errorf("%v, %s", err, s.last)
	}
	if _, _, err := c.Objects("visitors", "default").Create(t.Context(), nil); err == nil || err.Error() != "visitors can't be made" {
		t.Errorf("%v", err)
	}
	if _, err := c.Objects("things", "").List(t.Context(), Listing{}); err == nil || err.Error() != "things can't be listed" {
		t.Errorf("%v", err)
	}
}
