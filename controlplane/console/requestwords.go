package console

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
)

// mostNames is how many names a field suggests.
const mostNames = 200

// serviceNames are the names of the organization's services, by name, at most most.
func (q *Request) serviceNames(most int) []string {
	var out []string
	for s := range q.m.Services() {
		if s.Org == q.Org.ID {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), most)]
}

// targetName is a target as its service's page calls it, or its id once it is gone.
func (q *Request) targetName(ref string) string {
	id, err := model.TargetID{}.Parse(ref)
	if err != nil || q.m.Target(id) == nil || q.m.Target(id).Org != q.Org.ID {
		return ref
	}
	t := q.m.Target(id)
	return fmt.Sprintf("%s, %s:%d", t.Name, t.Address, t.Port)
}

// exportURL is where the API gives all requests of a filter.
func exportURL(q *Request, f Form, format string) string {
	v := url.Values{"format": {format}}
	for name, values := range f.Values {
		v[name] = values
	}
	return "/api/v1/orgs/" + url.PathEscape(q.Org.Name) + "/requests/export?" + v.Encode()
}

// detailed reports whether a filter says more than the first fields of its form.
func detailed(f Form) bool {
	for _, name := range []string{"method", "host", "path", "client", "user", "node"} {
		if f.Get(name) != "" {
			return true
		}
	}
	return false
}

// missing counts the requests that the log lacks.
func missing(gaps []admin.RequestGap) (n int64) {
	for _, g := range gaps {
		n += g.Requests
	}
	return n
}

// shortTime is a time with its day, if that is not today.
func shortTime(now, t time.Time) string {
	if t, now := t.UTC(), now.UTC(); t.Year() != now.Year() || t.YearDay() != now.YearDay() {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.UTC().Format("15:04:05")
}

// millis is a duration in milliseconds as a page shows it.
func millis(n float64) string {
	switch {
	case n < 10:
		return fmt.Sprintf("%.1f ms", n)
	case n < 10_000:
		return fmt.Sprintf("%.0f ms", n)
	}
	return fmt.Sprintf("%.1f s", n/1000)
}

func statusTone(status int) string {
	switch status / 100 {
	case 5:
		return bad
	case 4:
		return warn
	case 2, 3:
		return good
	}
	return idle
}

func decisionBadge(decision string) Badge {
	switch decision {
	case model.DecisionAllowed:
		return Badge{good, "allowed", "It was sent on"}
	case model.DecisionDenied:
		return Badge{warn, "denied", "By who may come"}
	case model.DecisionSignIn:
		return Badge{idle, "asked to sign in", "Whoever came was asked to show who it is"}
	case model.DecisionRefused:
		return Badge{bad, "refused", "It could not be sent on"}
	}
	return Badge{idle, "answered", "By the node itself"}
}
