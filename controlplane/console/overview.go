package console

import (
	"slices"
	"strconv"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
)

// due is when before its end a certificate is said to come to it: what renews it has failed for a while then.
const due = 21 * 24 * time.Hour

// latest is how much of what was done last the overview shows.
const latest = 8

// Summary is an organization at a glance.
type Summary struct {
	Sites, SitesUp             int
	Services                   int
	Targets, Checked, Healthy  int
	Failing                    []*model.Target
	Nodes, NodesUp, NodesSync  int
	Certificates, Due, Expired int
	Ending                     []*model.Certificate // expired or due, those that end first
	Connected                  bool                 // a tunnel of a connector has worked
	Domains                    int
	Database                   bool
}

func (q *Request) summary() Summary {
	var s Summary
	org := q.Org.ID
	if q.Can(access.SitesRead) {
		for v := range q.m.Sites() {
			if v.Org == org {
				s.Sites++
				if st := q.site(v); st.Up > 0 || st.State.Tone == good {
					s.SitesUp, s.Connected = s.SitesUp+1, true
				}
			}
		}
	}
	for v := range q.m.Services() {
		if v.Org == org {
			s.Services++
		}
	}
	for v := range q.m.Domains() {
		if v.Org == org {
			s.Domains++
		}
	}
	if q.Can(access.TargetsRead) {
		q.countTargets(&s)
	}
	if q.Can(access.CertificatesRead) {
		q.countCertificates(&s)
	}
	if q.Can(access.NodesRead) {
		for n := range q.m.Nodes() {
			if !n.Enrolled() {
				continue
			}
			s.Nodes++
			v := q.node(n)
			if v.Up {
				s.NodesUp++
			}
			if q.sync(v).Tone == good {
				s.NodesSync++
			}
		}
	}
	s.Database = q.Database() < 5*time.Second
	return s
}

func (q *Request) countTargets(s *Summary) {
	for t := range q.m.Targets() {
		if t.Org != q.Org.ID {
			continue
		}
		s.Targets++
		if t.HealthCheck == nil {
			continue
		}
		s.Checked++
		switch q.facts().Verdict(t).State {
		case presence.TargetHealthy:
			s.Healthy++
		case presence.TargetUnhealthy:
			if len(s.Failing) < latest {
				s.Failing = append(s.Failing, t)
			}
		}
	}
}

// countCertificates counts those that are in use, each in its newest form.
func (q *Request) countCertificates(s *Summary) {
	for c := range q.m.Certificates() {
		if c.Org != q.Org.ID || !c.SupersededBy.IsZero() {
			continue
		}
		s.Certificates++
		switch left := c.NotAfter.Sub(q.Now); {
		case left <= 0:
			s.Expired++
		case left < min(due, c.NotAfter.Sub(c.NotBefore)/3):
			s.Due++
		default:
			continue
		}
		s.Ending = append(s.Ending, c)
	}
	slices.SortFunc(s.Ending, func(a, b *model.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	s.Ending = s.Ending[:min(len(s.Ending), latest)]
}

func overview(q *Request) (*Page, error) {
	s := q.summary()
	var done []*audit.Entry
	if q.Can(access.AuditRead) {
		var err error
		// While the database is away the rest is worth seeing.
		if done, err = q.Admin.RecentAudit(q.Context(), q.Who, q.Org.ID.String(), latest); err != nil && fault.Of(err) != fault.Unavailable {
			return nil, err
		}
	}
	var events []admin.Event
	if q.Can(access.EventsRead) {
		var err error
		if events, err = q.Admin.Events(q.Context(), q.Who, q.Org.ID.String(), nil, store.EventMark{}, store.EventMark{}, latest); err != nil && fault.Of(err) != fault.Unavailable {
			return nil, err
		}
	}
	var alerts []admin.Alert
	if q.Can(access.AlertsRead) {
		var err error
		if alerts, err = q.Admin.Alerts(q.Context(), q.Who, q.Org.ID.String()); err != nil && fault.Of(err) != fault.Unavailable {
			return nil, err
		}
		alerts = slices.DeleteFunc(alerts, func(a admin.Alert) bool { return a.State != "firing" })
	}
	now, err := q.recent()
	if err != nil && fault.Of(err) != fault.Unavailable {
		return nil, err
	}
	return &Page{Title: q.Org.Name, Live: overviewView(q, s, now, alerts, done, events), Charts: true}, nil
}

// unknown counts the alerts of which nobody has said that he takes care.
func unknown(list []admin.Alert) (n int) {
	for _, a := range list {
		if a.Acknowledged == nil {
			n++
		}
	}
	return n
}

func listOrganizations(q *Request) (*Page, error) {
	all := organizations(q.m, q.Who, 1<<20)
	r := rows(q, values(all), func(o *model.Organization) string { return o.Name }, func(*model.Organization) []string { return nil })
	return &Page{Title: "Organizations", Top: finder(q, r.Query, "Search organizations"), Live: organizationsView(q, r)}, nil
}

func nothingHere(*Request) (*Page, error) {
	return nil, fault.New(fault.NotFound, "There is no such page.")
}

// failing is the share of requests that fail, and its tone.
func failing(v *admin.Traffic) (float64, string) {
	if v.Requests == 0 {
		return 0, idle
	}
	share := float64(v.Failed) / float64(v.Requests)
	switch {
	case share >= .05:
		return share, bad
	case share >= .01:
		return share, warn
	}
	return share, good
}

// perSecond is a rate as a page shows it.
func perSecond(n float64) string {
	if n > 0 && n < 10 {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// tone is that of a count of what should be all.
func tone(have, all int) string {
	switch {
	case all == 0:
		return idle
	case have == 0:
		return bad
	case have < all:
		return warn
	}
	return good
}

func certificateTone(s Summary) string {
	switch {
	case s.Expired > 0:
		return bad
	case s.Due > 0:
		return warn
	}
	return idle
}
