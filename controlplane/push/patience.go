package push

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// hold waits a little for this replica to catch up with the client. It needs the lock.
func (st *stream) hold() {
	if st.held {
		return
	}
	st.held = true
	st.srv.hold(st, true)
	st.setStall(st.srv.opts.Hold, status.Error(codes.Unavailable, "this replica is behind the reader"))
}

func (st *stream) unhold() {
	if st.held {
		st.held = false
		st.srv.hold(st, false)
		st.stopWatchdog()
	}
}

// watchdog gives the client time for its next answer. It needs the lock.
func (st *stream) watchdog() {
	if st.tx != nil {
		st.setStall(st.srv.opts.AckTimeout, status.Error(codes.DeadlineExceeded, "no acknowledgement"))
	}
}

func (st *stream) setStall(d time.Duration, err error) {
	st.stopWatchdog()
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		if st.stall == t { // not stopped too late
			st.endLocked(err)
		}
	})
	st.stall = t
}

func (st *stream) stopWatchdog() {
	if st.stall != nil {
		st.stall.Stop()
		st.stall = nil
	}
}
