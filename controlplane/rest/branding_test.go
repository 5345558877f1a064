package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/admin"
)

func TestBranding(t *testing.T) {
	w := newWorld(t)
	var logo bytes.Buffer
	if err := png.Encode(&logo, image.NewGray(image.Rect(0, 0, 3, 3))); err != nil {
		t.Fatal(err)
	}
	var got admin.BrandSpec
	if w.must(200, "GET", org+"/branding", "").into(t, &got); got.Name != "" || got.Logo != nil {
		t.Errorf("at first %+v", got)
	}
	body, err := json.Marshal(admin.BrandSpec{Name: "Söhne & Co", Accent: "#0a8f3c", Logo: logo.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	first := w.must(200, "PUT", org+"/branding", string(body))
	if again := w.must(200, "PUT", org+"/branding", string(body)); first.revision == 0 || again.header.Get("X-Warren-Unchanged") != "true" {
		t.Errorf("revision %d, then %v", first.revision, again.header)
	}
	if w.must(200, "GET", org+"/branding", "").into(t, &got); got.Name != "Söhne & Co" || got.Accent != "#0a8f3c" || !bytes.Equal(got.Logo, logo.Bytes()) {
		t.Errorf("kept %+v", got)
	}
	w.must(200, "PUT", "/api/v1/organizations/default", `{"name":"default"}`) // says nothing of it
	if w.must(200, "GET", org+"/branding", "").into(t, &got); got.Name != "Söhne & Co" {
		t.Errorf("lost by a write of the organization: %+v", got)
	}
	before := w.head()
	for field, body := range map[string]string{
		"body.name": `{"name":"a\nb"}`, "body.accent": `{"accent":"red"}`, "body.logo": `{"logo":"` + base64.StdEncoding.EncodeToString([]byte("<html>")) + `"}`,
	} {
		if r := w.call("PUT", org+"/branding", body); r.status != http.StatusUnprocessableEntity || !slices.Contains(r.locations(t), field) {
			t.Errorf("%s: %d %s, want a problem with %s", body, r.status, r.body, field)
		}
	}
	if r := w.call("PUT", org+"/branding", `{"logo":"`+strings.Repeat("A", 90_000)+`"}`); r.status != http.StatusUnprocessableEntity {
		t.Errorf("a large logo: %d %s", r.status, r.body)
	}
	if after := w.head(); after != before {
		t.Errorf("revision %d before, %d after", before, after)
	}
	w.must(200, "PUT", org+"/branding", `{}`)
	got = admin.BrandSpec{}
	if w.must(200, "GET", org+"/branding", "").into(t, &got); got.Name != "" || got.Logo != nil {
		t.Errorf("taken away: %+v", got)
	}
}
