package policy

import (
	"fmt"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
)

const (
	maxRules   = 1000
	maxEntries = 10_000 // of one list: spans have room for all of a policy
)

// kind is what a test looks at. What is looked at first is cheap.
type kind uint8

const (
	byMethod kind = iota
	byCountry
	byASN
	byNetwork
	byTable // of networks
	byPath
	byWindow
	byHeader
)

// test is a compiled list of Conditions: it holds if one of its entries does.
type test struct {
	entries span // of the list of its kind; of byTable, from is the index of the table
	kind    kind
}

// lists are the entries of all tests, by kind.
type lists struct {
	methods   []string
	countries []country
	asns      []uint32 // those of a test are sorted
	networks  []netip.Prefix
	tables    []*bart.Lite // of more than few networks each
	paths     []Path
	windows   []window
	headers   []Header // names as net/http has them
}

// country is two letters.
type country uint16

func countryOf(s string) country {
	if len(s) != 2 {
		return 0
	}
	return country(s[0])<<8 | country(s[1])
}

// makeRoom makes the arrays as long as rules need them.
func (c *Compiled) makeRoom(rules []Rule) {
	var n struct{ tests, methods, countries, asns, networks, tables, paths, windows, headers int }
	count := func(into *int, have int) {
		if *into += have; have > 0 {
			n.tests++
		}
	}
	for i := range rules {
		for _, w := range [...]*Conditions{&rules[i].Conditions, &rules[i].Unless} {
			count(&n.methods, len(w.Methods))
			count(&n.countries, len(w.Countries))
			count(&n.asns, len(w.ASNs))
			count(&n.paths, len(w.Paths))
			count(&n.windows, len(w.Windows))
			count(&n.headers, len(w.Headers))
			if len(w.Networks) > few {
				count(&n.tables, 1)
			} else {
				count(&n.networks, len(w.Networks))
			}
		}
	}
	c.rules, c.tests = room[rule](len(rules)), room[test](n.tests)
	c.lists = lists{
		methods: room[string](n.methods), countries: room[country](n.countries), asns: room[uint32](n.asns),
		networks: room[netip.Prefix](n.networks), tables: room[*bart.Lite](n.tables), paths: room[Path](n.paths),
		windows: room[window](n.windows), headers: room[Header](n.headers),
	}
}

// room is an empty slice for n elements; nil for none.
func room[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, 0, n)
}

// compileConditions appends the tests of conditions, and says where they are.
func (c *Compiled) compileConditions(field string, w *Conditions) (at span, err error) {
	at = span{uint32(len(c.tests)), uint32(len(c.tests))}
	if w.IsZero() {
		return at, nil
	}
	if err := checkSizes(field, w); err != nil {
		return at, err
	}
	for _, compile := range [...]func(string, *Conditions) error{c.compileMethods, c.compilePlaces, c.compileNetworks, c.compilePaths, c.compileWindows, c.compileHeaders} {
		if err := compile(field, w); err != nil {
			return at, err
		}
	}
	at.to = uint32(len(c.tests))
	return at, nil
}

// add appends a test of the entries from one on, unless there are none.
func (c *Compiled) add(k kind, from, to int) {
	if from < to {
		c.tests = append(c.tests, test{span{uint32(from), uint32(to)}, k})
	}
}

func (c *Compiled) compileMethods(field string, w *Conditions) error {
	from := len(c.lists.methods)
	for i, s := range w.Methods {
		if !token(s) || s != strings.ToUpper(s) {
			return wrong(fmt.Sprintf("%smethods[%d]", field, i), "%q: want a method such as GET", s)
		}
		c.lists.methods = append(c.lists.methods, s)
	}
	c.add(byMethod, from, len(c.lists.methods))
	return nil
}

func (c *Compiled) compilePlaces(field string, w *Conditions) error {
	from := len(c.lists.countries)
	for i, s := range w.Countries {
		if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
			return wrong(fmt.Sprintf("%scountries[%d]", field, i), "%q: want two capital letters such as CH (ISO 3166-1)", s)
		}
		c.lists.countries = append(c.lists.countries, countryOf(s))
	}
	c.add(byCountry, from, len(c.lists.countries))
	from = len(c.lists.asns)
	for i, n := range w.ASNs {
		if n == 0 {
			return wrong(fmt.Sprintf("%sasns[%d]", field, i), "0 is no autonomous system")
		}
	}
	c.lists.asns = append(c.lists.asns, w.ASNs...)
	slices.Sort(c.lists.asns[from:])
	c.add(byASN, from, len(c.lists.asns))
	return nil
}

func (c *Compiled) compilePaths(field string, w *Conditions) error {
	from := len(c.lists.paths)
	for i, s := range w.Paths {
		p, err := CompilePath(s)
		if err != nil {
			return wrong(fmt.Sprintf("%spaths[%d]", field, i), "%v", err)
		}
		c.lists.paths = append(c.lists.paths, p)
	}
	c.add(byPath, from, len(c.lists.paths))
	return nil
}

func (c *Compiled) compileWindows(field string, w *Conditions) error {
	from := len(c.lists.windows)
	for i, s := range w.Windows {
		cw, err := compileWindow(fmt.Sprintf("%swindows[%d]", field, i), s)
		if err != nil {
			return err
		}
		c.lists.windows = append(c.lists.windows, cw)
	}
	c.add(byWindow, from, len(c.lists.windows))
	return nil
}

func (c *Compiled) compileHeaders(field string, w *Conditions) error {
	from := len(c.lists.headers)
	for i, h := range w.Headers {
		if err := checkHeaderName(fmt.Sprintf("%sheaders[%d].name", field, i), h.Name); err != nil {
			return err
		}
		c.lists.headers = append(c.lists.headers, Header{textproto.CanonicalMIMEHeaderKey(h.Name), slices.Clone(h.Values)})
	}
	c.add(byHeader, from, len(c.lists.headers))
	return nil
}

func checkSizes(field string, c *Conditions) error {
	for _, l := range [...]struct {
		name string
		n    int
	}{{"networks", len(c.Networks)}, {"paths", len(c.Paths)}, {"methods", len(c.Methods)}, {"countries", len(c.Countries)},
		{"asns", len(c.ASNs)}, {"headers", len(c.Headers)}, {"windows", len(c.Windows)}} {
		if l.n > maxEntries {
			return wrong(field+l.name, "%d entries, want %d at most", l.n, maxEntries)
		}
	}
	return nil
}

// checkHeaderName refuses fields by which a rule would be met by whoever says so, or would hold a secret in plain.
func checkHeaderName(field, name string) error {
	lower := strings.ToLower(name)
	switch {
	case !token(name) || strings.Contains(name, "_"):
		return wrong(field, "%q is no name of a header field of letters, digits and hyphens", name)
	case slices.Contains([]string{"authorization", "cookie", "proxy-authorization"}, lower):
		return wrong(field, "%s carries credentials: use a way to authenticate", name)
	case slices.Contains([]string{"host", "connection", "transfer-encoding", "content-length", "forwarded", "x-real-ip", "te", "trailer", "upgrade"}, lower),
		strings.HasPrefix(lower, "x-forwarded-"), strings.HasPrefix(lower, "remote-"), strings.HasPrefix(lower, "x-warren-"), strings.HasPrefix(lower, "warren-"):
		return wrong(field, "%s is not what the client says it is: nodes remove or write it themselves", name)
	}
	return nil
}

// token is RFC 9110 §5.6.2.
func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
