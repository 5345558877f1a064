package dns

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/warrenedge/warren/shared/hostname"
)

// challengeLabel is below a name where certificate authorities look (RFC 8555 §8.4).
const challengeLabel = "_acme-challenge."

// maxTexts bounds the challenges of one name: what is beyond would not fit into an answer over TCP.
const maxTexts = 500

// A Challenge is a TXT record at _acme-challenge.<Name>, until it expires.
type Challenge struct {
	ID      string
	Name    string // canonical, without trailing dot, in a zone that is served
	Text    string // 255 octets at most
	Expires time.Time
}

// An overlay is the challenges beside the zones. They are no part of the tree: a name that exists only here
// stops no wildcard, and what stands at the same name in a zone stays.
type overlay struct {
	texts map[string][]txt     // by owner, lower case, with trailing dot; those that expire last come first
	above map[string]time.Time // names above an owner, and until when something is below them
}

type txt struct {
	value   string
	expires time.Time
}

// newOverlay leaves out what no zone could answer.
func newOverlay(sh *shape, challenges []Challenge) (overlay, []error) {
	o := overlay{texts: map[string][]txt{}, above: map[string]time.Time{}}
	var bad []error
	for _, c := range challenges {
		owner := challengeLabel + c.Name + "."
		z, _ := sh.zoneOf(owner)
		var err error
		switch name, cerr := hostname.Canonical(c.Name); {
		case cerr != nil || name != c.Name || len(owner) > 254:
			err = fmt.Errorf("name %q: %w", c.Name, cmp.Or(cerr, errNotCanonical))
		case c.Text == "" || len(c.Text) > 255:
			err = fmt.Errorf("text: %d octets, want 1 to 255", len(c.Text))
		case z == nil:
			err = fmt.Errorf("name %s: in no zone that is served here", c.Name)
		}
		if err != nil {
			bad = append(bad, &ObjectError{Challenge: c.ID, Err: err})
			continue
		}
		o.texts[owner] = append(o.texts[owner], txt{c.Text, c.Expires})
		for name := c.Name + "."; name != z.origin; {
			if c.Expires.After(o.above[name]) {
				o.above[name] = c.Expires
			}
			_, name, _ = strings.Cut(name, ".")
		}
	}
	for owner, texts := range o.texts {
		slices.SortFunc(texts, func(a, b txt) int { return cmp.Or(b.expires.Compare(a.expires), cmp.Compare(a.value, b.value)) })
		seen := map[string]bool{} // a set has nothing twice (RFC 2181 §5)
		texts = slices.DeleteFunc(texts, func(t txt) bool {
			again := seen[t.value]
			seen[t.value] = true
			return again
		})
		o.texts[owner] = texts[:min(len(texts), maxTexts)]
	}
	return o, bad
}

// records are what is answered at a name, lower case, that has not expired. Nobody may keep it: the next
// question may come after another value was added (boulder#3405).
func (o overlay) records(lower, qname string, now time.Time) []dns.RR {
	var out []dns.RR
	for _, t := range o.texts[lower] {
		if now.Before(t.expires) {
			out = append(out, &dns.TXT{Hdr: dns.RR_Header{Name: qname, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{t.value}})
		}
	}
	return out
}

// exists reports whether a name that no zone has is here, or has something below it here: it must not be denied
// then, because a resolver may take that for all names below it (RFC 8020).
func (o overlay) exists(lower string, now time.Time) bool {
	if texts := o.texts[lower]; len(texts) > 0 && now.Before(texts[0].expires) {
		return true
	}
	return now.Before(o.above[lower])
}
