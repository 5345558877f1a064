package adminhttp

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestProfilesStayOnTheMachine(t *testing.T) {
	h := local(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for from, want := range map[string]int{
		"127.0.0.1:4000": http.StatusOK, "[::1]:4000": http.StatusOK, "[::ffff:127.0.0.1]:4000": http.StatusOK,
		"192.0.2.1:4000": http.StatusForbidden, "[2001:db8::1]:4000": http.StatusForbidden, "@": http.StatusForbidden, "": http.StatusForbidden,
	} {
		r, w := httptest.NewRequest(http.MethodGet, "/debug/pprof/heap", nil), httptest.NewRecorder()
		r.RemoteAddr = from
		h(w, r)
		if w.Code != want {
			t.Errorf("from %q: %d, want %d", from, w.Code, want)
		}
	}
}
