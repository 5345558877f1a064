package policy

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// T40: values are data. Whatever octets a value is made of, a policy that is compiled with it lets through what has exactly
// this value, nothing else, and no other rule means something else because of it.
func TestT40ValuesAreData(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	value := func() string {
		b := make([]byte, 1+rnd.IntN(12))
		for i := range b {
			b[i] = byte(rnd.IntN(256))
			if rnd.IntN(3) == 0 {
				b[i] = "`'\"\\()[]{}*.,;:|&$!^%/ \n\x00"[rnd.IntN(25)]
			}
		}
		return string(b)
	}
	compiled := 0
	for range 20_000 {
		v := value()
		p := &Policy{Rules: []Rule{
			{Action: Allow, Conditions: Conditions{Headers: []Header{{Name: "X-Key", Values: []string{v}}}}},
			{Action: Allow, Conditions: Conditions{Paths: []string{"/p/" + v}}},
		}}
		if _, err := CompilePath("/p/" + v); err != nil {
			p.Rules = p.Rules[:1]
		} else {
			compiled++
		}
		c := must(t, p)
		f := request("192.0.2.1", "GET", "/other")
		for _, h := range []string{v, v + "x", "x" + v, strings.ToUpper(v) + " ", "", "*"} {
			f.Header = map[string][]string{"X-Key": {h}}
			if got := Decide(c, &f, &Identity{}); (got.Action == Allow) != (h == v) {
				t.Fatalf("header %q for %q: %v", h, v, got)
			}
		}
		f.Header = nil
		if strings.Contains(v, "*") || len(p.Rules) == 1 {
			continue
		}
		f.Path = "/p/" + escape(strings.TrimSuffix(v, "/"))
		if got := Decide(c, &f, &Identity{}); got.Action != Allow || got.Rule != 1 {
			t.Fatalf("path %q for %q: %v", f.Path, v, got)
		}
		f.Path += "x"
		if got := Decide(c, &f, &Identity{}); got.Action != Deny {
			t.Fatalf("path %q for %q: %v", f.Path, v, got)
		}
	}
	if compiled < 1000 {
		t.Fatalf("only %d patterns were good: this test looks at nothing", compiled)
	}
}

// escape writes the octets that a pattern stands for as a request has them.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		c, width := octet(s, i)
		i += width
		if c == '/' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte("0123456789ABCDEF"[c>>4])
		b.WriteByte("0123456789ABCDEF"[c&15])
	}
	return b.String()
}

// Whatever rules are made of: they are refused with a field, or a decision is made.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte(`[{"action":"allow","networks":["10.0.0.0/8"],"paths":["/a/**"],"unless":{"countries":["CH"]}}]`), "/a/b;c", "10.1.2.3")
	f.Add([]byte(`[{"action":"deny","methods":["GET"],"headers":[{"name":"X-A","values":["b"]}],"windows":[{"from":"23:00","to":"01:00","zone":"UTC"}]}]`), "/", "::1")
	f.Fuzz(func(t *testing.T, text []byte, path, client string) {
		var p Policy
		if json.Unmarshal(text, &p.Rules) != nil {
			return
		}
		c, err := Compile(&p)
		if err != nil {
			if _, ok := err.(*FieldError); !ok {
				t.Fatalf("%v names no field", err)
			}
			return
		}
		addr, _ := netip.ParseAddr(client)
		facts := Facts{Client: addr, Time: noon, Method: "GET", Path: path, Header: map[string][]string{"X-A": {path}}}
		before := facts
		first := Decide(c, &facts, &Identity{})
		if first != Decide(c, &facts, &Identity{}) || !reflect.DeepEqual(facts, before) {
			t.Error("the same question has two answers")
		}
		facts.Client = netip.AddrFrom16(addr.As16()) // IPv4 as IPv6 that maps it
		if addr.IsValid() && Decide(c, &facts, &Identity{}) != first {
			t.Error("another spelling of the address has another answer")
		}
	})
}
