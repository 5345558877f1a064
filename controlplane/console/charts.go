package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault/httpfault"
	"github.com/warrenedge/warren/controlplane/model"
)

// span of a chart, and the step in which it is drawn.
type chartSpan struct {
	name, text string
	time, step time.Duration
}

var chartSpans = []chartSpan{
	{"1h", "an hour", time.Hour, 15 * time.Second},
	{"24h", "a day", 24 * time.Hour, 5 * time.Minute},
	{"168h", "a week", 7 * 24 * time.Hour, time.Hour},
	{"720h", "30 days", 30 * 24 * time.Hour, 6 * time.Hour},
}

// spanOf is the one that an address names, or the first.
func spanOf(v url.Values) chartSpan {
	for _, s := range chartSpans {
		if s.name == v.Get("span") {
			return s
		}
	}
	return chartSpans[0]
}

// Series is traffic as charts draw it: a value for each moment.
type Series struct {
	At       []int64    `json:"at"` // seconds since 1970
	Rate     []float64  `json:"rate"`
	Failed   []float64  `json:"failed"` // share, in percent
	P50      []*float64 `json:"p50"`    // null: nothing was measured
	P99      []*float64 `json:"p99"`
	S2xx     []float64  `json:"2xx"` // a second
	S3xx     []float64  `json:"3xx"`
	S4xx     []float64  `json:"4xx"`
	S5xx     []float64  `json:"5xx"`
	In       []float64  `json:"in"` // bytes a second
	Out      []float64  `json:"out"`
	Requests int64      `json:"requests"` // at all
}

// series puts what was counted in steps into its place: between from and to there is a value for each step. It is pure.
func series(from, to time.Time, step time.Duration, list []admin.Traffic) Series {
	at := map[int64]admin.Traffic{}
	for _, v := range list {
		if v.At != nil {
			at[v.At.Unix()] = v
		}
	}
	var out Series
	sec := step.Seconds()
	for t := from.Truncate(step); !t.After(to); t = t.Add(step) {
		v, ok := at[t.Unix()]
		failed, p50, p99 := 0.0, (*float64)(nil), (*float64)(nil)
		if ok && v.Requests > 0 {
			failed, p50, p99 = 100*float64(v.Failed)/float64(v.Requests), &v.P50, &v.P99
		}
		out.At, out.Requests = append(out.At, t.Unix()), out.Requests+v.Requests
		out.Rate, out.Failed, out.P50, out.P99 = append(out.Rate, float64(v.Requests)/sec), append(out.Failed, failed), append(out.P50, p50), append(out.P99, p99)
		out.S2xx, out.S3xx = append(out.S2xx, float64(v.Statuses.S2xx)/sec), append(out.S3xx, float64(v.Statuses.S3xx)/sec)
		out.S4xx, out.S5xx = append(out.S4xx, float64(v.Statuses.S4xx)/sec), append(out.S5xx, float64(v.Statuses.S5xx)/sec)
		out.In, out.Out = append(out.In, float64(v.In)/sec), append(out.Out, float64(v.Out)/sec)
	}
	return out
}

// traffic is what the charts of a page draw.
func (c *Console) traffic(w http.ResponseWriter, r *http.Request) {
	if _, err := c.principal(r); err != nil {
		http.Error(w, "not signed in", http.StatusUnauthorized)
		return
	}
	q, ok := c.begin(w, r)
	if !ok {
		return
	}
	_, err := c.allowed(q, access.TrafficRead)
	var list []admin.Traffic
	s := spanOf(r.URL.Query())
	from, to := q.Now.Add(-s.time), q.Now.Add(-s.step) // what has just begun is not whole
	if err == nil {
		list, err = q.Admin.Traffic(q.Context(), q.Who, q.Org.ID.String(), admin.TrafficQuery{
			Service: r.URL.Query().Get("service"), Site: r.URL.Query().Get("site"), Since: from, Until: q.Now, Step: s.step,
		})
	}
	if err != nil {
		http.Error(w, c.said(err), httpfault.Status(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(series(from, to, s.step, list)) // who reads is gone
}

// Chart is one picture of a page's traffic.
type Chart struct {
	Title, Unit string
	Series      []string // names in Series, with what they are called
}

// charts are those of a page: of an organization, or of one service or site.
func charts(one bool) []Chart {
	out := []Chart{{"Requests a second", "", []string{"rate=requests"}}, {"Failed", "%", []string{"failed=failed"}}}
	if !one {
		return out
	}
	return []Chart{
		out[0], {"Time to the whole answer", "ms", []string{"p50=half within", "p99=99 of 100 within"}},
		{"Answers a second", "", []string{"2xx=2xx", "3xx=3xx", "4xx=4xx", "5xx=5xx"}}, {"Bytes a second", "B", []string{"in=received", "out=sent"}},
	}
}

// trafficURL is where charts find what they draw.
func trafficURL(q *Request, filter, name string) string {
	v := url.Values{"span": {spanOf(q.URL.Query()).name}}
	if filter != "" {
		v.Set(filter, name)
	}
	return withQuery(q.To("traffic"), v)
}

// recent is how much there was in the last minutes, nil for those who may not know.
func (q *Request) recent() (*admin.Traffic, error) {
	if !q.Can(access.TrafficRead) {
		return nil, nil
	}
	all, err := q.flow(model.ByNothing)
	if all == nil || err != nil {
		return &admin.Traffic{}, err
	}
	now := all[""]
	return &now, nil
}

// recentTime is over which time the overview counts.
const recentTime = 5 * time.Minute
