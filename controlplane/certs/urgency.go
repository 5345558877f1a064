package certs

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

// closing is how much of a certificate's life is left when nothing but its end counts any more.
const closing = 2 * 24 * time.Hour

// Urgent brings what is due into the order in which it is to be had, should there not be room for all: what has no
// certificate first, then the soonest to expire, and of those that expire on one day the ones that most requests go to.
// When an authority revokes all it has issued, whole days of certificates are due at once.
func Urgent(due []store.Due, load Load, now time.Time) {
	type rank struct {
		day  time.Time
		load int64
	}
	ranks := make(map[model.ManagedCertificateID]rank, len(due))
	for _, d := range due {
		r := rank{d.Expires, load.of(d.ManagedCertificate)}
		if d.Expires.Sub(now) > closing {
			r.day = d.Expires.Truncate(24 * time.Hour)
		}
		ranks[d.ID] = r
	}
	slices.SortFunc(due, func(a, b store.Due) int {
		x, y := ranks[a.ID], ranks[b.ID]
		return cmp.Or(x.day.Compare(y.day), cmp.Compare(y.load, x.load), a.Expires.Compare(b.Expires), bytes.Compare(a.ID.UUID[:], b.ID.UUID[:]))
	})
}

// Load is how many requests went lately to the names of an organization, wildcards in place of their names included.
type Load map[model.OrgID]map[string]int64

// LoadOf counts for names what was counted for services.
func LoadOf(m *model.Model, requests map[model.ServiceID]int64) Load {
	out := Load{}
	for id, n := range requests {
		s := m.Service(id)
		if s == nil || !s.EndsTLS() {
			continue
		}
		if out[s.Org] == nil {
			out[s.Org] = map[string]int64{}
		}
		out[s.Org][s.Hostname] += n
		if w, ok := hostname.Wildcard(s.Hostname); ok && !hostname.IsWildcard(s.Hostname) {
			out[s.Org][w] += n
		}
	}
	return out
}

func (l Load) of(m *model.ManagedCertificate) (sum int64) {
	for _, n := range m.Names {
		sum += l[m.Org][n]
	}
	return sum
}
