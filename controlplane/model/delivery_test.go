package model

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
)

func TestNewFields(t *testing.T) {
	got, err := NewFields("request", []string{"x-b", "X-A", "x-a"}, []Field{{"x-d", " v "}, {"X-c", ""}})
	if want := (Fields{Remove: []string{"X-A", "X-B"}, Set: []Field{{"X-C", ""}, {"X-D", " v "}}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, tt := range []struct {
		remove []string
		set    []Field
		field  string
	}{
		{[]string{"X A"}, nil, "request.remove[0]"},
		{[]string{"X-A", ""}, nil, "request.remove[1]"},
		{[]string{"connection"}, nil, "request.remove[0]"},
		{nil, []Field{{"Content-Length", "1"}}, "request.set[0].name"},
		{nil, []Field{{"x-forwarded-for", "192.0.2.1"}}, "request.set[0].name"},
		{nil, []Field{{"X-A", "a\nb"}}, "request.set[0].value"},
		{nil, []Field{{"X-A", strings.Repeat("x", MaxFieldValue+1)}}, "request.set[0].value"},
		{nil, []Field{{"X-A", "1"}, {"x-a", "2"}}, "request.set[1].name"},
		{make([]string, MaxFields+1), nil, "request"},
	} {
		_, err := NewFields("request", tt.remove, tt.set)
		if fe, ok := errors.AsType[*fault.Error](err); !ok || fe.Field != tt.field {
			t.Errorf("%q %q: %v, want one about %s", tt.remove, tt.set, err, tt.field)
		}
	}
}

func TestUpstreamValidate(t *testing.T) {
	const unreadable = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n"
	for _, tt := range []struct {
		u     Upstream
		field string
	}{
		{Upstream{}, ""},
		{Upstream{StripPrefix: true}, ""},
		{Upstream{Scheme: SchemeHTTPS, ServerName: "inner.example.org"}, ""},
		{Upstream{Scheme: SchemeH2C}, ""},
		{Upstream{Scheme: SchemeHTTP}, "scheme"}, // its one form is ""
		{Upstream{Scheme: "ftp"}, "scheme"},
		{Upstream{ServerName: "a.example"}, "server_name"},
		{Upstream{Scheme: SchemeHTTPS, ServerName: "A.example"}, "server_name"},
		{Upstream{Scheme: SchemeH2C, AuthoritiesPEM: unreadable}, "authorities_pem"},
		{Upstream{Scheme: SchemeHTTPS, AuthoritiesPEM: unreadable}, "authorities_pem"},
		{Upstream{Scheme: SchemeHTTPS, AuthoritiesPEM: "-----BEGIN PRIVATE KEY-----\nYQ==\n-----END PRIVATE KEY-----"}, "authorities_pem"},
		{Upstream{Scheme: SchemeHTTPS, AuthoritiesPEM: "words"}, "authorities_pem"},
	} {
		err := tt.u.validate()
		fe, _ := errors.AsType[*fault.Error](err)
		if (err == nil) != (tt.field == "") || fe != nil && fe.Field != tt.field {
			t.Errorf("%+v: %v, want one about %q", tt.u, err, tt.field)
		}
	}
}

func TestDeliveryValidate(t *testing.T) {
	for host, good := range map[string]bool{"": true, "a.example": true, "a.example:8443": true, "A.example": false, "a.example:": false, "a.example:70000": false, "a b": false} {
		if err := (&Delivery{Host: host}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", host, err)
		}
	}
	if (&Delivery{Request: Fields{Remove: []string{"x-a"}}}).Validate() == nil {
		t.Error("a name that is not canonical is taken")
	}
	if err := (&Maintenance{Message: strings.Repeat("ü", MaxMessage)}).Validate(); err != nil {
		t.Error(err)
	}
	if (&Maintenance{Title: strings.Repeat("x", MaxTitle+1)}).Validate() == nil {
		t.Error("a title that is too long is taken")
	}
}

func TestTargetName(t *testing.T) {
	s := &Service{Kind: HTTP, Hostname: "wiki.example.org"}
	star := &Service{Kind: HTTP, Hostname: "*.example.org"}
	inner := &Service{Kind: HTTP, Hostname: "*.example.org", Delivery: &Delivery{Host: "inner.example.net:8443"}}
	for _, tt := range []struct {
		s    *Service
		u    Upstream
		want string
	}{
		{s, Upstream{}, "wiki.example.org"}, {star, Upstream{}, ""}, {inner, Upstream{}, "inner.example.net"}, {inner, Upstream{ServerName: "x.example"}, "x.example"},
	} {
		if got := tt.s.TargetName(tt.u); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.s.Hostname, got, tt.want)
		}
	}
}
