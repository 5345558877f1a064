package l4

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/warrenedge/warren/dataplane/requestlog"
)

// newRecord begins to say what becomes of a connection or flow.
func newRecord(f *forward, kind requestlog.Kind, client netip.AddrPort) *requestlog.Record {
	return &requestlog.Record{ID: requestlog.NewID(), Kind: kind, Service: f.Service, Client: client.Addr().Unmap()}
}

// refused adds a record of a connection that goes nowhere. Of a port that is no service's any more there is none.
func (s *Server) refused(f *forward, kind requestlog.Kind, client netip.AddrPort, why reason) {
	if f == nil {
		return
	}
	r := newRecord(f, kind, client)
	r.At, r.Decision, r.Reason = time.Now(), requestlog.Refused, string(why)
	if why == reasonNotAllowed {
		r.Decision = requestlog.Denied
	}
	s.requests.Add(r)
}

// over adds a record of what has begun at start. Nobody writes to it any more.
func (s *Server) over(r *requestlog.Record, start time.Time) {
	r.At, r.Total = time.Now(), time.Since(start)
	s.requests.Add(r)
}

// count notes bytes. Each direction is counted by another goroutine.
func count(r *requestlog.Record, up bool, n int64) {
	if up {
		atomic.AddInt64(&r.In, n)
	} else {
		atomic.AddInt64(&r.Out, n)
	}
}
