package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestRepeatedFields(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                      "",
		`{"a":1,"b":{"a":1}}`:     "",
		`[{"a":1},{"a":1}]`:       "",
		`{"a":"a","b":"a"}`:       "",
		`{"a":1,"A":1}`:           "", // another field
		`{"a":1,"a":1}`:           "body.a",
		`{"a":1,"\u0061":2}`:      "body.a",
		`{"a":1,"b":[],"a":{}}`:   "body.a",
		`{"a":[0,{"b":1,"b":2}]}`: "body.a[1].b",
		`[[{"a":[]},{"a":1,"a"`:   "body[0][1].a",
		`{"a":{"b":{},"b":{}}}`:   "body.a.b",
		`{"a":1,`:                 "",
		`{"a":1}}{"a":1,"a":1}`:   "", // the rest is no part of the text
		``:                        "",
	} {
		if at, twice := repeated([]byte(body)); at != want || twice != (want != "") {
			t.Errorf("%s: %q %t, want %q", body, at, twice, want)
		}
	}
	if at, twice := repeated([]byte(strings.Repeat("[", maxBody))); twice {
		t.Errorf("deep: %s", at)
	}
}

// Decoding keeps one of two fields with one name: whoever has as many as the text repeats none.
func FuzzRepeatedFields(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":{"a":[{"c":null}]}}`, `{"a":1,"a":2}`, `[{"\u0061":"x","a":{}}]`, `{"":0,"":1}`, `"a"`, `{"a":`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		at, twice := repeated(text)
		if twice != (at != "") {
			t.Fatalf("%q %t", at, twice)
		}
		var v any
		if json.Unmarshal(text, &v) != nil {
			return
		}
		if fields := fieldsIn(t, text); (fields != kept(v)) != twice {
			t.Errorf("%d fields, %d kept, said %q", fields, kept(v), at)
		}
	})
}

// fieldsIn counts the fields of a JSON text.
func fieldsIn(t *testing.T, text []byte) (n int) {
	t.Helper()
	var walk func(raw json.RawMessage)
	walk = func(raw json.RawMessage) {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		open, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := open.(json.Delim); !ok {
			return
		}
		for d.More() {
			if open == json.Delim('{') {
				n++
				if _, err := d.Token(); err != nil {
					t.Fatal(err)
				}
			}
			var inner json.RawMessage
			if err := d.Decode(&inner); err != nil {
				t.Fatal(err)
			}
			walk(inner)
		}
	}
	walk(text)
	return n
}

// kept counts the fields of a decoded JSON text.
func kept(v any) (n int) {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			n += 1 + kept(inner)
		}
	case []any:
		for _, inner := range v {
			n += kept(inner)
		}
	}
	return n
}

func TestBodiesAreSaidToBeJSON(t *testing.T) {
	w := newWorld(t)
	before := w.head()
	for i, tc := range []struct {
		contentType string
		status      int
	}{
		{"", 415},
		{"text/plain", 415},
		{"application/x-www-form-urlencoded", 415},
		{"application/merge-patch+json", 415},
		{"application/cbor", 415},
		{";", 415},
		{"application/json, text/plain", 415},
		{"application/json", 201},
		{"Application/JSON; charset=utf-8", 201},
	} {
		req := httptest.NewRequestWithContext(t.Context(), "PUT", fmt.Sprintf("/api/v1/pools/p%d", i), strings.NewReader("{}"))
		req.Header.Set("Authorization", "Bearer "+w.key)
		if tc.contentType != "" {
			req.Header.Set("Content-Type", tc.contentType)
		}
		rec := httptest.NewRecorder()
		w.api.ServeHTTP(rec, req)
		if rec.Code != tc.status {
			t.Errorf("%q: %d %s; want %d", tc.contentType, rec.Code, rec.Body, tc.status)
			continue
		}
		if r := (reply{status: rec.Code, header: rec.Header(), body: rec.Body.Bytes()}); tc.status == 415 && len(r.locations(t)) != 0 {
			t.Errorf("%s", r.body)
		}
		if tc.status == 415 && w.head() != before {
			t.Errorf("%q wrote", tc.contentType)
		}
	}
	// What has no body needs no type, and a stranger learns of his key first.
	if r := w.as("", "POST", "/api/v1/pools", `{"name":"a","name":"b"}`); r.status != 401 {
		t.Errorf("%d %s", r.status, r.body)
	}
	r := w.call("POST", "/api/v1/pools", `{"name":"a","name":"b"}`)
	if at := r.locations(t); r.status != 422 || !slices.Equal(at, []string{"body.name"}) {
		t.Errorf("%d %s", r.status, r.body)
	}
}
