package admin

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// RequestQuery is how callers write which requests they want to see.
type RequestQuery struct {
	Service  string `query:"service" maxLength:"64" doc:"By name, as it was then, or id"`
	Site     string `query:"site" maxLength:"64" doc:"By name, as it was then, or id"`
	Node     string `query:"node" maxLength:"64" doc:"By name, as it was then, or id"`
	Status   string `query:"status" maxLength:"7" doc:"A status, a class or a range: 404, 5xx, 400-499"`
	Method   string `query:"method" maxLength:"32"`
	Host     string `query:"host" maxLength:"255"`
	Path     string `query:"path" maxLength:"2048" doc:"How it begins"`
	Client   string `query:"client" maxLength:"64" doc:"An address, or a network such as 198.51.100.0/24"`
	User     string `query:"user" maxLength:"320" doc:"Who had signed in"`
	Decision string `query:"decision" maxLength:"16" enum:"allowed,denied,sign_in,refused,answered"`
	Since    string `query:"since" maxLength:"64" doc:"A time such as 2027-01-31T12:00:00Z, or how long ago: 90s, 15m, 24h"`
	Until    string `query:"until" maxLength:"64" doc:"The same"`
}

// Filter reads a query; times are relative to now.
func (q *RequestQuery) Filter(now time.Time) (f model.RequestFilter, err error) {
	f = model.RequestFilter{Service: q.Service, Site: q.Site, Node: q.Node, Method: q.Method, Host: strings.ToLower(q.Host), PathPrefix: q.Path, Visitor: q.User, Decision: q.Decision}
	if f.Statuses, err = statuses(q.Status); err != nil {
		return f, err
	}
	if q.Client != "" {
		if a, err := netip.ParseAddr(q.Client); err == nil && a.Zone() == "" {
			f.Client = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		} else if f.Client, err = netip.ParsePrefix(q.Client); err != nil {
			return f, fault.Field("client", "%q is neither an address nor a network", q.Client)
		}
		f.Client = f.Client.Masked()
	}
	if f.Since, err = Moment("since", q.Since, now); err != nil {
		return f, err
	}
	f.Until, err = Moment("until", q.Until, now)
	return f, err
}

func statuses(text string) (s [2]int, err error) {
	switch first, last, isRange := strings.Cut(text, "-"); {
	case text == "":
	case len(text) == 3 && strings.HasSuffix(strings.ToLower(text), "xx") && text[0] >= '1' && text[0] <= '5':
		class := int(text[0]-'0') * 100
		return [2]int{class, class + 99}, nil
	default:
		if !isRange {
			last = first
		}
		var err1, err2 error
		s[0], err1 = strconv.Atoi(first)
		s[1], err2 = strconv.Atoi(last)
		if err1 != nil || err2 != nil || s == [2]int{} {
			return s, fault.Field("status", "%q, want one such as 404, 5xx or 400-499", text)
		}
	}
	return s, nil
}

// Moment reads a time, or how long ago.
func Moment(field, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fault.Field(field, "%q is neither a time such as 2027-01-31T12:00:00Z nor a duration such as 15m", text)
	}
	return at.UTC(), nil
}
