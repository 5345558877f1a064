package policy

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

const (
	maxRules   = 1000
	maxEntries = 10_000 // of one list
)

// conditions are compiled Conditions.
type conditions struct {
	networks  networks
	paths     []Path
	methods   []string
	countries []string
	asns      []uint32 // sorted
	headers   []Header // names as net/http has them
	windows   []window
}

// compileConditions gives nil if there are none.
func compileConditions(field string, c *Conditions) (out *conditions, err error) {
	if c.IsZero() {
		return nil, nil
	}
	if err := checkSizes(field, c); err != nil {
		return nil, err
	}
	out = &conditions{methods: c.Methods, countries: c.Countries, asns: c.ASNs}
	if out.networks, err = compileNetworks(field+"networks", c.Networks); err != nil {
		return nil, err
	}
	if len(c.Paths) > 0 {
		out.paths = make([]Path, len(c.Paths))
	}
	for i, s := range c.Paths {
		if out.paths[i], err = CompilePath(s); err != nil {
			return nil, wrong(fmt.Sprintf("%spaths[%d]", field, i), "%v", err)
		}
	}
	for i, s := range c.Methods {
		if !token(s) || s != strings.ToUpper(s) {
			return nil, wrong(fmt.Sprintf("%smethods[%d]", field, i), "%q: want a method such as GET", s)
		}
	}
	for i, s := range c.Countries {
		if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
			return nil, wrong(fmt.Sprintf("%scountries[%d]", field, i), "%q: want two capital letters such as CH (ISO 3166-1)", s)
		}
	}
	for i, n := range c.ASNs {
		if n == 0 {
			return nil, wrong(fmt.Sprintf("%sasns[%d]", field, i), "0 is no autonomous system")
		}
	}
	if !slices.IsSorted(out.asns) {
		out.asns = slices.Sorted(slices.Values(c.ASNs))
	}
	return out, out.compileRest(field, c)
}

func (out *conditions) compileRest(field string, c *Conditions) error {
	for i, h := range c.Headers {
		at := fmt.Sprintf("%sheaders[%d]", field, i)
		if err := checkHeaderName(at+".name", h.Name); err != nil {
			return err
		}
		out.headers = append(out.headers, Header{textproto.CanonicalMIMEHeaderKey(h.Name), h.Values})
	}
	for i, w := range c.Windows {
		cw, err := compileWindow(fmt.Sprintf("%swindows[%d]", field, i), w)
		if err != nil {
			return err
		}
		out.windows = append(out.windows, cw)
	}
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

// all reports whether every condition holds.
func (c *conditions) all(f *Facts, bare bool) bool {
	return (c.networks.empty() || c.networks.contain(f.Client)) &&
		(len(c.methods) == 0 || slices.Contains(c.methods, f.Method)) &&
		(len(c.paths) == 0 || c.onPath(f.Path, bare)) &&
		(len(c.countries) == 0 || c.inCountry(f)) &&
		(len(c.asns) == 0 || c.inASN(f)) &&
		(len(c.headers) == 0 || c.withHeader(f.Header)) &&
		(len(c.windows) == 0 || c.inWindow(f))
}

// any reports whether one of the conditions holds. Unknown is whether one of them is about a place that is not known.
func (c *conditions) any(f *Facts, bare bool) (holds, unknown bool) {
	unknown = len(c.countries) > 0 && f.Country == "" || len(c.asns) > 0 && f.ASN == 0
	return !c.networks.empty() && c.networks.contain(f.Client) ||
		len(c.methods) > 0 && slices.Contains(c.methods, f.Method) ||
		len(c.paths) > 0 && c.onPath(f.Path, bare) ||
		len(c.countries) > 0 && c.inCountry(f) ||
		len(c.asns) > 0 && c.inASN(f) ||
		len(c.headers) > 0 && c.withHeader(f.Header) ||
		len(c.windows) > 0 && c.inWindow(f), unknown
}

func (c *conditions) onPath(path string, bare bool) bool {
	if path == "" {
		return false // not HTTP
	}
	for _, p := range c.paths {
		if p.Match(path, bare) {
			return true
		}
	}
	return false
}

func (c *conditions) inCountry(f *Facts) bool {
	return f.Country != "" && slices.Contains(c.countries, f.Country)
}

func (c *conditions) inASN(f *Facts) bool {
	if f.ASN == 0 {
		return false
	}
	_, ok := slices.BinarySearch(c.asns, f.ASN)
	return ok
}

func (c *conditions) withHeader(have map[string][]string) bool {
	for i := range c.headers {
		h := &c.headers[i]
		got, ok := have[h.Name]
		if !ok {
			continue
		}
		if len(h.Values) == 0 {
			return true
		}
		for _, v := range got {
			if slices.Contains(h.Values, v) {
				return true
			}
		}
	}
	return false
}

func (c *conditions) inWindow(f *Facts) bool {
	for i := range c.windows {
		if c.windows[i].contains(f.Time) {
			return true
		}
	}
	return false
}
