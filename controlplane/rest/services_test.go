package rest

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

func TestPortsHaveOneService(t *testing.T) {
	w := newWorld(t)
	key := w.orgKey("other")
	w.must(201, "POST", "/api/v1/pools", `{"name":"second"}`)
	w.must(201, "POST", org+"/services", `{"name":"games","kind":"tcp","ports":"6000-6010","pool":"default"}`)
	for _, c := range []struct {
		key, org, body string
		status         int
		named          bool
	}{
		{w.key, "default", `{"name":"a","kind":"tcp","ports":"6010","pool":"default"}`, 409, true},
		{w.key, "default", `{"name":"a","kind":"tcp","ports":"5900-6000","pool":"default"}`, 409, true},
		{key, "other", `{"name":"a","kind":"tcp","ports":"6000-6010","pool":"default"}`, 409, false},
		{w.key, "default", `{"name":"b","kind":"udp","ports":"6000-6010","pool":"default"}`, 201, false},
		{w.key, "default", `{"name":"c","kind":"tcp","ports":"6000-6010","pool":"second"}`, 201, false},
		{key, "other", `{"name":"d","kind":"tcp","ports":"6012-6020","pool":"default"}`, 201, false},
	} {
		r := w.as(c.key, "POST", "/api/v1/orgs/"+c.org+"/services", c.body)
		if r.status != c.status || strings.Contains(string(r.body), "games") != c.named {
			t.Errorf("%s: %d %s", c.body, r.status, r.body)
		}
		if c.status == http.StatusConflict {
			if at := r.locations(t); len(at) != 1 || at[0] != "body.ports" {
				t.Errorf("%s: locations %v", c.body, at)
			}
		}
	}
	// Moving on, within its own ports and into another pool, where they are taken.
	w.must(200, "PUT", org+"/services/games", `{"kind":"tcp","ports":"6001-6010","pool":"default"}`)
	if r := w.call("PUT", org+"/services/games", `{"kind":"tcp","ports":"6001-6010","pool":"second"}`); r.status != 409 || !strings.Contains(string(r.body), "service c") {
		t.Errorf("%d %s", r.status, r.body)
	}
	// A target too high for all ports, when it comes and when the ports do.
	w.must(201, "POST", org+"/sites", `{"name":"home","pool":"default"}`)
	if r := w.call("PUT", org+"/targets/t", `{"service":"games","site":"home","address":"10.0.0.1","port":65530}`); r.status != 422 || r.locations(t)[0] != "body.port" {
		t.Errorf("%d %s", r.status, r.body)
	}
	w.must(201, "PUT", org+"/targets/t", `{"service":"games","site":"home","address":"10.0.0.1","port":65526}`)
	if r := w.call("PUT", org+"/services/games", `{"kind":"tcp","ports":"6001-6011","pool":"default"}`); r.status != 422 || r.locations(t)[0] != "body.ports" || !strings.Contains(string(r.body), "target t") {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What is said of the way of a request comes back in its one form, and is refused by the name of its field.
func TestDelivery(t *testing.T) {
	w := newWorld(t)
	w.service()
	const head = `{"kind":"http","hostname":"wiki.example.com","pool":"default",`
	var got struct{ Delivery, Maintenance any }
	w.must(200, "PUT", org+"/services/wiki", head+`"delivery":{"host":"Inner.Example.net:8443","request":{"remove":["x-b","X-A"],"set":[{"name":"x-env","value":"prod"}]}},"maintenance":{"show":"unavailable","title":"Soon"}}`).into(t, &got)
	want := map[string]any{"host": "inner.example.net:8443", "request": map[string]any{"remove": []any{"X-A", "X-B"}, "set": []any{map[string]any{"name": "X-Env", "value": "prod"}}}}
	if !reflect.DeepEqual(got.Delivery, any(want)) || !reflect.DeepEqual(got.Maintenance, any(map[string]any{"show": "unavailable", "title": "Soon"})) {
		t.Errorf("%+v", got)
	}
	for body, at := range map[string]string{
		`"delivery":{"request":{"set":[{"name":"Connection","value":"close"}]}}}`:         "body.delivery.request.set[0].name",
		`"delivery":{"response":{"remove":["X A"]}}}`:                                     "body.delivery.response.remove[0]",
		`"delivery":{"response":{"set":[{"name":"X-A","value":"a\u000d\u000aX-B: c"}]}}}`: "body.delivery.response.set[0].value",
		`"delivery":{"host":"a_b c"}}`:                                                    "body.delivery.host",
		`"delivery":{"host":"a.example:0"}}`:                                              "body.delivery.host",
		`"maintenance":{"show":"never"}}`:                                                 "body.maintenance.show",
	} {
		if r := w.call("PUT", org+"/services/wiki", head+body); r.status != 422 || r.locations(t)[0] != at {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	const target = `{"service":"wiki","site":"home","address":"10.0.0.1","port":443,`
	w.must(200, "PUT", org+"/targets/wiki", target+`"scheme":"https","path_prefix":"/a","strip_prefix":true}`)
	w.must(201, "PUT", org+"/services/star", `{"kind":"http","hostname":"*.example.com","pool":"default"}`)
	var authorities struct {
		Items []struct {
			PEM string `json:"certificate_pem"`
		}
	}
	w.must(200, "GET", "/api/v1/authorities", "").into(t, &authorities)
	pem, _ := json.Marshal(authorities.Items[0].PEM)
	for body, at := range map[string]string{
		target + `"scheme":"ftp"}`:            "body.scheme",
		target + `"server_name":"a.example"}`: "body.server_name",
		target + `"authorities_pem":"words"}`: "body.authorities_pem",
		strings.Replace(target, "wiki", "star", 1) + `"scheme":"https","authorities_pem":` + string(pem) + `}`: "body.server_name",
	} {
		if r := w.call("PUT", org+"/targets/wiki", body); r.status != 422 || r.locations(t)[0] != at {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	w.must(201, "PUT", org+"/services/raw", `{"kind":"tcp","ports":"5000","pool":"default"}`)
	if r := w.call("PUT", org+"/services/raw", `{"kind":"tcp","ports":"5000","pool":"default","maintenance":{"show":"always"}}`); r.status != 422 || r.locations(t)[0] != "body.maintenance" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := w.call("PUT", org+"/targets/raw", strings.Replace(target, "wiki", "raw", 1)+`"scheme":"https"}`); r.status != 422 || r.locations(t)[0] != "body.scheme" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestAHealthCheckShowsItsDefaults(t *testing.T) {
	w := newWorld(t)
	w.service()
	for body, want := range map[string]map[string]any{
		`{"kind":"tcp"}`: {"kind": "tcp", "interval": "10s", "timeout": "2s", "healthy_threshold": 2.0, "unhealthy_threshold": 3.0},
		`{"kind":"tcp","interval":"2s"}`: {
			"kind": "tcp", "interval": "2s", "timeout": "1s", "healthy_threshold": 2.0, "unhealthy_threshold": 3.0,
		},
		`{"kind":"http","headers":{"x-probe":"1"},"tls":true}`: {
			"kind": "http", "interval": "10s", "timeout": "2s", "healthy_threshold": 2.0, "unhealthy_threshold": 3.0, "method": "GET", "path": "/",
			"headers": map[string]any{"X-Probe": "1"}, "expected_statuses": []any{"200-399"}, "tls": true,
		},
	} {
		var got struct {
			HealthCheck map[string]any `json:"health_check"`
			Health      map[string]any
		}
		r := w.must(200, "PUT", org+"/targets/wiki", `{"service":"wiki","site":"home","address":"10.0.0.1","port":80,"health_check":`+body+`}`)
		if r.into(t, &got); !reflect.DeepEqual(got.HealthCheck, want) {
			t.Errorf("%s: %v", body, got.HealthCheck)
		}
	}
}
