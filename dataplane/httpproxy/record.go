package httpproxy

import (
	"net/http"
	"strings"
	"time"

	"github.com/warrenedge/warren/dataplane/requestlog"
	"github.com/warrenedge/warren/shared/policy"
)

// SetRequestLog says where records of requests go. It is called before Serve.
func (p *Proxy) SetRequestLog(l *requestlog.Log) { p.records = l }

// record adds a request to the request log. One that is of no service is nobody's.
func (p *Proxy) record(r *http.Request, x *exchange, w *response, start time.Time, took time.Duration) {
	if p.records == nil {
		return
	}
	rec := requestlog.Record{
		At: start.Add(took), ID: x.uid, Kind: requestlog.HTTP, Client: x.session.client.Addr(), Method: r.Method, Host: x.session.name, Status: w.status(),
		In: x.body.n.Load(), Out: w.sent.Load(), Decide: x.decided, FirstByte: x.answered, Total: took, Relay: x.via,
	}
	if x.admitted != nil {
		rec.Service, rec.Host, rec.Path = x.route.service, x.Host, x.Path
	} else if rt := p.current.Load().match(x.session.name); rt != nil {
		rec.Service = rt.service // of the connection: the request itself has more than one reading
	} else {
		return
	}
	if x.target.ID != "" {
		rec.Target, rec.Site = x.target.ID, x.target.Site
	}
	if x.pass != nil {
		if rec.User = x.pass.Login; rec.User == "" {
			rec.User = x.pass.User
		}
	}
	rec.Decision, rec.Reason, rec.Error = decision(x)
	if x.visit != nil && x.visit.Decided {
		rec.ByPolicy, rec.Policy = rec.Decision != requestlog.Refused, x.visit.Decision
	}
	p.records.Add(&rec)
}

// decision says what became of a request, and why.
func decision(x *exchange) (d requestlog.Decision, reason, failure string) {
	switch {
	case x.failure == refuseAccess.Reason && !x.visit.Decided:
		if strings.HasPrefix(x.Path, ownPrefix) {
			return requestlog.Answered, "", ""
		}
		return requestlog.Refused, x.failure, ""
	case x.failure == refuseAccess.Reason && x.visit.Decision.Action == policy.Authenticate:
		return requestlog.SignIn, "", ""
	case x.failure == refuseAccess.Reason:
		return requestlog.Denied, "", ""
	case x.state == nil: // it has not come as far as to a target
		return requestlog.Refused, x.failure, ""
	}
	return requestlog.Allowed, "", x.failure
}

// ownPrefix is of the paths that nodes answer themselves, at the hostname of any service with a policy.
const ownPrefix = "/.warren/"
