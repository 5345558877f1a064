package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/loglinear"
)

// Bounds of what a node may say at once, above what it says.
const (
	maxRecords = 5000
	maxWords   = 25 * maxRecords
	maxWord    = 1024 // bytes
	maxRates   = 5000
	maxCount   = 1 << 53 // of anything that is counted
)

// Times of what a node tells, around now: what is beyond them comes from a wrong clock, and counts as of now.
const (
	oldest = 2 * time.Hour
	newest = 5 * time.Minute
)

// refused counts what of a batch was not taken, by why.
type refused map[string]int

// reader makes rows of what one node tells, as the model knows its services. It is pure.
type reader struct {
	world   *model.Model
	node    *model.Node
	process int64
	now     time.Time
	refused refused
}

var errMalformed = errors.New("malformed batch")

// records reads requests. A batch whose columns do not belong together is refused whole, one request that makes no sense alone.
func (r *reader) records(m *nodev1.Records) ([]*model.Request, error) {
	n := len(m.GetAt())
	if n > maxRecords || len(m.GetWords()) > maxWords || len(m.GetIds()) != 16*n {
		return nil, fmt.Errorf("%w: %d records, %d words, ids of %d bytes", errMalformed, n, len(m.GetWords()), len(m.GetIds()))
	}
	for i, l := range []int{
		len(m.GetKind()), len(m.GetService()), len(m.GetSite()), len(m.GetTarget()), len(m.GetRelay()), len(m.GetClient()), len(m.GetMethod()), len(m.GetHost()), len(m.GetPath()),
		len(m.GetUser()), len(m.GetStatus()), len(m.GetBytesIn()), len(m.GetBytesOut()), len(m.GetDecide()), len(m.GetFirstByte()), len(m.GetTotal()), len(m.GetDecision()),
		len(m.GetReason()), len(m.GetError()),
	} {
		if l != n {
			return nil, fmt.Errorf("%w: column %d has %d values of %d", errMalformed, i, l, n)
		}
	}
	words := make([]string, len(m.GetWords()))
	word := func(i uint32) string {
		if i == 0 || int(i) > len(words) {
			return ""
		}
		if words[i-1] == "" {
			words[i-1] = clean(m.GetWords()[i-1])
		}
		return words[i-1]
	}
	out := make([]*model.Request, 0, n)
	for i := range n {
		service := r.service(word(m.GetService()[i]))
		if service == nil {
			continue
		}
		kind, decision := kinds[m.GetKind()[i]], decisions[m.GetDecision()[i]]
		if kind == "" || decision == "" || m.GetStatus()[i] > 999 {
			r.refused["malformed"]++
			continue
		}
		v := &model.Request{
			ID: uuid.UUID(m.GetIds()[16*i : 16*i+16]), At: r.moment(time.UnixMicro(m.GetBase() + m.GetAt()[i])), Org: service.Org, Kind: kind, Service: service.ID, ServiceName: service.Name,
			Node: r.node.ID, NodeName: r.node.Name, Method: word(m.GetMethod()[i]), Host: word(m.GetHost()[i]), Path: word(m.GetPath()[i]), Visitor: word(m.GetUser()[i]),
			Status: int(m.GetStatus()[i]), In: count(m.GetBytesIn()[i]), Out: count(m.GetBytesOut()[i]),
			Decide: micros(m.GetDecide()[i]), FirstByte: micros(m.GetFirstByte()[i]), Total: micros(m.GetTotal()[i]),
			Decision: decision, Reason: word(m.GetReason()[i]), Error: word(m.GetError()[i]),
		}
		if s := r.site(word(m.GetSite()[i]), service.Org); s != nil {
			v.Site, v.SiteName = s.ID, s.Name
		}
		v.Target, _ = model.TargetID{}.Parse(word(m.GetTarget()[i])) // one that is none is left out
		v.Relay, _ = model.NodeID{}.Parse(word(m.GetRelay()[i]))
		if c := m.GetClient()[i]; c > 0 && int(c) <= len(words) {
			v.Client, _ = netip.AddrFromSlice(m.GetWords()[c-1])
		}
		out = append(out, v)
	}
	return out, nil
}

// rates reads what was counted.
func (r *reader) rates(list []*nodev1.Window) (out []*model.NodeTraffic, err error) {
	n := 0
	for _, w := range list {
		if n += len(w.GetRates()); n > maxRates {
			return nil, fmt.Errorf("%w: more than %d rates", errMalformed, maxRates)
		}
		at := r.moment(time.Unix(w.GetStart(), 0)).Truncate(model.TrafficFine)
		for _, m := range w.GetRates() {
			service := r.service(m.GetServiceId())
			if service == nil {
				continue
			}
			buckets := m.GetBuckets()
			if len(m.GetStatuses()) != model.StatusClasses || len(buckets) != len(m.GetCounts()) || len(buckets) > loglinear.Buckets || !slices.IsSorted(buckets) ||
				len(buckets) > 0 && buckets[len(buckets)-1] >= loglinear.Buckets {
				r.refused["malformed"]++
				continue
			}
			v := &model.NodeTraffic{At: at, Org: service.Org, Service: service.ID, Node: r.node.ID, Process: r.process, Traffic: model.Traffic{
				Requests: count(m.GetRequests()), Denied: count(m.GetDenied()), Failed: count(m.GetFailed()), In: count(m.GetBytesIn()), Out: count(m.GetBytesOut()), Unlogged: count(m.GetUnlogged()),
			}}
			for i, c := range m.GetStatuses() {
				v.Statuses[i] = count(c)
			}
			for i, b := range buckets {
				v.Took.Buckets, v.Took.Counts = append(v.Took.Buckets, int32(b)), append(v.Took.Counts, count(m.GetCounts()[i]))
			}
			if s := r.site(m.GetSiteId(), service.Org); s != nil {
				v.Site = s.ID
			}
			out = append(out, v)
		}
	}
	return out, nil
}

// service is one that the node serves; nil: it is another pool's, or none, or gone.
func (r *reader) service(text string) *model.Service {
	id, err := model.ServiceID{}.Parse(text)
	if s := r.world.Service(id); err == nil && s != nil && s.Pool == r.node.Pool {
		return s
	}
	r.refused["service"]++
	return nil
}

// site is one of the service's organization, or none.
func (r *reader) site(text string, org model.OrgID) *model.Site {
	id, err := model.SiteID{}.Parse(text)
	if s := r.world.Site(id); err == nil && s != nil && s.Org == org {
		return s
	}
	return nil
}

// moment is a time of the node's, as far as it can be right.
func (r *reader) moment(at time.Time) time.Time {
	if at.Before(r.now.Add(-oldest)) || at.After(r.now.Add(newest)) {
		return r.now.UTC().Truncate(time.Microsecond)
	}
	return at.UTC()
}

// clean is text that a database and a terminal can take.
func clean(b []byte) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return '\uFFFD'
		}
		return c
	}, strings.ToValidUTF8(string(b[:min(len(b), maxWord)]), "\uFFFD"))
}

func count(n uint64) int64 { return int64(min(n, maxCount)) }

func micros(n uint64) time.Duration {
	return time.Duration(min(n, uint64(30*24*time.Hour/time.Microsecond))) * time.Microsecond
}

var kinds = map[nodev1.RecordKind]model.ServiceKind{
	nodev1.RecordKind_RECORD_KIND_HTTP: model.HTTP, nodev1.RecordKind_RECORD_KIND_TLS: model.TLS, nodev1.RecordKind_RECORD_KIND_TCP: model.TCP, nodev1.RecordKind_RECORD_KIND_UDP: model.UDP,
}

var decisions = map[nodev1.RecordDecision]string{
	nodev1.RecordDecision_RECORD_DECISION_ALLOWED: model.DecisionAllowed, nodev1.RecordDecision_RECORD_DECISION_DENIED: model.DecisionDenied,
	nodev1.RecordDecision_RECORD_DECISION_SIGN_IN: model.DecisionSignIn, nodev1.RecordDecision_RECORD_DECISION_REFUSED: model.DecisionRefused,
	nodev1.RecordDecision_RECORD_DECISION_ANSWERED: model.DecisionAnswered,
}
