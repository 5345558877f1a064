package policy

import (
	"math/rand/v2"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"
)

// plain decides by what a policy says, rule after rule and list after list: it is what Decide has to agree with.
type plain struct {
	f       Facts
	octets  string // of the path, in one reading
	unknown bool   // a place that matters is not known
}

func plainly(p *Policy, f Facts, bare bool) (Action, int) {
	q := plain{f: f, octets: plainOctets(f.Path, bare)}
	for i := range p.Rules {
		r := &p.Rules[i]
		if !slices.Contains(q.lists(&r.Conditions), false) {
			q.unknown = false
			if held := q.lists(&r.Unless); !slices.Contains(held, true) && !(q.unknown && r.Action == Allow) {
				return r.Action, i
			}
		}
	}
	return p.Otherwise, NoRule
}

// plainOctets cuts parameters off each segment, whatever they are spelt like.
func plainOctets(path string, bare bool) string {
	var out []string
	for segment := range strings.SplitSeq(strings.TrimSuffix(path, "/"), "/") {
		var b strings.Builder
		for i := 0; i < len(segment); {
			c, width := octet(segment, i)
			if bare && c == ';' {
				break
			}
			b.WriteByte(c)
			i += width
		}
		out = append(out, b.String())
	}
	return strings.Join(out, "/")
}

// lists says of each list that is not empty whether one of its entries holds.
func (q *plain) lists(c *Conditions) (held []bool) {
	list := func(n int, holds func(i int) bool) {
		any := false
		for i := range n {
			any = any || holds(i)
		}
		if n > 0 {
			held = append(held, any)
		}
	}
	q.unknown = q.unknown || len(c.Countries) > 0 && q.f.Country == "" || len(c.ASNs) > 0 && q.f.ASN == 0
	list(len(c.Networks), func(i int) bool {
		n, err := ParseNetwork(c.Networks[i])
		return err == nil && n.Contains(q.f.Client.Unmap().WithZone(""))
	})
	list(len(c.Methods), func(i int) bool { return c.Methods[i] == q.f.Method })
	list(len(c.Paths), func(i int) bool {
		p, err := CompilePath(c.Paths[i])
		return err == nil && q.f.Path != "" && matchSlowly(p.text, q.octets)
	})
	list(len(c.Countries), func(i int) bool { return c.Countries[i] == q.f.Country })
	list(len(c.ASNs), func(i int) bool { return c.ASNs[i] == q.f.ASN })
	list(len(c.Headers), func(i int) bool {
		got, ok := q.f.Header[textproto.CanonicalMIMEHeaderKey(c.Headers[i].Name)]
		return ok && (len(c.Headers[i].Values) == 0 || slices.ContainsFunc(got, func(v string) bool { return slices.Contains(c.Headers[i].Values, v) }))
	})
	list(len(c.Windows), func(i int) bool {
		w := c.Windows[i]
		zone, err := time.LoadLocation(w.Zone)
		if err != nil {
			return false
		}
		at := q.f.Time.In(zone)
		on := func(t time.Time) bool {
			return len(w.Days) == 0 || slices.Contains(w.Days, strings.ToLower(t.Weekday().String()[:3]))
		}
		clock := at.Format("15:04")
		if w.From < w.To {
			return on(at) && w.From <= clock && clock < w.To
		}
		return on(at) && w.From <= clock || on(time.Date(at.Year(), at.Month(), at.Day()-1, 12, 0, 0, 0, zone)) && clock < w.To
	})
	return held
}

// some picks up to n of the values.
func some[T any](r *rand.Rand, n int, of ...T) (out []T) {
	if r.IntN(3) > 0 {
		return nil
	}
	for range 1 + r.IntN(n) {
		out = append(out, of[r.IntN(len(of))])
	}
	return out
}

func randomConditions(r *rand.Rand) Conditions {
	networks := 3
	if r.IntN(4) == 0 {
		networks = 3 * few
	}
	return Conditions{
		Networks:  some(r, networks, "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "::/0", "fe80::/10", "127.0.0.1"),
		Paths:     some(r, 3, "/", "/**", "/a", "/a/**", "/*/b", "/a*b", "/**/b", "/a/**/b*", "/a/b/", "/%61", "/a%20b", "/**/a/**/b", "/*a*/**", "/a/**/**/b", "/**/*"),
		Methods:   some(r, 2, "GET", "POST", "HEAD"),
		Countries: some(r, 2, "CH", "LI", "DE"),
		ASNs:      some[uint32](r, 4, 1, 2, 3, 64500, 4200000000),
		Headers:   some(r, 2, Header{"x-a", nil}, Header{"X-A", []string{"1"}}, Header{"x-b", []string{"1", "2"}}, Header{"x-C", []string{""}}),
		Windows: some(r, 3, Window{nil, "08:00", "17:00", "UTC"}, Window{[]string{"sat", "sun"}, "22:00", "02:00", "Europe/Zurich"},
			Window{[]string{"thu"}, "00:00", "24:00", "Pacific/Auckland"}, Window{[]string{"mon"}, "12:00", "11:59", "America/New_York"}),
	}
}

func one[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// What a compiled policy answers is what the policy says, whichever of its tests comes first and however it is spelt.
func TestDecideIsWhatThePolicySays(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 29))
	by := map[Action]int{}
	var decided int
	for range 2000 {
		p := &Policy{Otherwise: one(r, Deny, Allow, Authenticate), Auth: Auth{PINHash: hash}}
		for range r.IntN(8) {
			p.Rules = append(p.Rules, Rule{one(r, Deny, Allow, Authenticate), randomConditions(r), randomConditions(r)})
			if r.IntN(2) == 0 {
				p.Rules[len(p.Rules)-1].Unless = Conditions{}
			}
		}
		c := must(t, p)
		for range 10 {
			f := Facts{
				Client:  netip.MustParseAddr(one(r, "10.1.2.3", "10.2.0.1", "::ffff:10.1.2.3", "192.0.2.9", "2001:db8::1", "fe80::1%eth0", "127.0.0.1", "198.51.100.1")),
				Country: one(r, "", "CH", "LI", "FR"), ASN: one[uint32](r, 0, 1, 64500, 7), Method: one(r, "GET", "POST", "HEAD", ""),
				Time:   noon.Add(time.Duration(r.IntN(7*dayMinutes)) * time.Minute),
				Path:   one(r, "", "/", "/a", "/a/", "/b", "/a/b", "/a/x/b", "/axb", "/a;x/b", "/a/b;x", "/a%3Bx/b", "/%61/b", "/a%20b", "/a;/", "/x/a/y/b", "/;", "/a/;x", "/a%00b", "/%01/b"),
				Header: one(r, nil, map[string][]string{"X-A": {"2", "1"}}, map[string][]string{"X-B": {"2"}, "X-C": {""}}, map[string][]string{"X-A": nil}),
			}
			want, rule := plainly(p, f, false)
			if strings.Contains(f.Path, ";") || strings.Contains(f.Path, "%3B") {
				if bare, at := plainly(p, f, true); bare < want {
					want, rule = bare, at
				}
			}
			if got := Decide(c, &f, &Identity{}); got.Action != want || got.Rule != rule {
				t.Fatalf("%v, want %s by rule %d\n%+v\n%+v", got, want, rule, f, p.Rules)
			}
			if by[want]++; rule != NoRule {
				decided++
			}
		}
	}
	if decided < 2000 || by[Deny] < 2000 || by[Allow] < 2000 || by[Authenticate] < 2000 {
		t.Fatalf("%v, %d of them by a rule: this test looks at little", by, decided)
	}
}

// Of long paths as well.
func TestLongPaths(t *testing.T) {
	long := "/" + strings.Repeat("segment/", 900)
	c := must(t, &Policy{Rules: rules(t, `[{"action": "deny", "paths": ["/**/secret%20place"]}]`), Otherwise: Allow})
	for path, want := range map[string]Action{long + "x": Allow, long + "secret%20place": Deny, long + "secret%20place;x": Deny, long + "%73ecret%20place/": Deny} {
		f := request("192.0.2.1", "GET", path)
		if got := Decide(c, &f, &Identity{}); got.Action != want {
			t.Errorf("…%s: %v, want %s", path[len(long):], got, want)
		}
	}
}
