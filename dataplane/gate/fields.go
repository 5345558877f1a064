package gate

import (
	"net/http"
	"strings"

	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/shared/accesstoken"
)

// AssertionField holds the token itself: signed by the control plane, for this hostname. A target that verifies it (see
// jwks.json) needs to trust nobody on the way. To anybody else it is worth nothing, without the browser's secret.
const AssertionField = "Warren-Assertion"

// fields are what the target is told of a visitor. What clients send under these names is removed whoever they are: see
// strict.RemoveEdgeFields.
func fields(v *session.Visitor) http.Header {
	c := v.Claims
	h := http.Header{AssertionField: {v.Token}}
	set := func(name, value string) {
		if value = line(value); value != "" {
			h[name] = []string{value}
		}
	}
	user := c.Email
	if user == "" {
		user = c.Subject
	}
	set("Remote-User", user)
	set("Remote-Email", c.Email)
	set("Remote-Name", c.Name)
	set("Remote-Groups", strings.Join(c.Groups, ","))
	return h
}

// line leaves of a text what can be in a field: a name is what somebody has typed in.
func line(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

// mailed gives the address of who was mailed a code instead of signing in.
func mailed(c *accesstoken.Claims) (string, bool) { return strings.CutPrefix(c.Subject, "mail:") }
