package liveness

import "time"

// A StockJudge believes one of the States of the tunnel to a stock WireGuard peer, which knows nothing of our
// heartbeats. There is evidence of two kinds. An answer to an echo (ICMPv6) says that both directions work, now; who
// answers is judged by that, as by heartbeats. Of one that does not answer, there are WireGuard's own words: a
// handshake needs both directions, and after it the peer's keepalives say that it is still there. A handshake alone
// is no evidence: a session is valid for three minutes after its peer has died.
//
// Its user tells what WireGuard counts (Counted), sends an echo at Next and tells Sent, and tells Received. The zero
// value is ready. Not safe for concurrent use.
type StockJudge struct {
	echo      Judge
	answers   bool      // to echoes, since the last time that it turned out to have stopped
	asked     int       // echoes since then
	handshake time.Time // the last one
	received  uint64    // bytes
	heard     time.Time // when received grew, or the handshake was another
	proof     time.Time // of the last answer
	sent      time.Time
}

const (
	// StockSilence is how long a peer may say nothing that answers no echo: two keepalives of 15 s, and time for the
	// network.
	StockSilence = 35 * time.Second
	// StockSession is for how long WireGuard takes a session for valid (RejectAfterTime).
	StockSession = 180 * time.Second

	echoPatience = 10              // echoes without an answer, before they are sent rarely
	echoRarely   = 5 * time.Second // a firewall may be opened
	echoRenewed  = 2 * time.Second // a handshake so much later than the last answer is another beginning
	never        = 24 * time.Hour  // there is nothing to send, until Counted says so
)

// Counted tells what WireGuard says of the peer: its last handshake, zero if there was none, and the bytes that came
// from it.
func (j *StockJudge) Counted(handshake time.Time, received uint64, now time.Time) {
	if !handshake.Equal(j.handshake) {
		// Whoever shakes hands while it answers no echo is there and does not answer: it has another firewall now, or is
		// another device with the same key.
		if j.answers && handshake.Sub(j.proof) >= echoRenewed && j.echo.State(now) == Down {
			j.answers, j.asked, j.echo = false, 0, Judge{}
		}
		if j.session(handshake, now) {
			j.heard = now
		}
		if j.handshake.IsZero() || !j.session(j.handshake, now) {
			j.asked = 0
		}
		j.handshake = handshake
	}
	if received != j.received {
		if received > j.received {
			j.heard = now
		}
		j.received = received
	}
}

// session reports whether a handshake is recent enough. One from the future is one: a clock was set.
func (j *StockJudge) session(handshake, now time.Time) bool {
	return !handshake.IsZero() && now.Sub(handshake) <= StockSession
}

// Sent tells that an echo is on its way. Numbers are not used twice.
func (j *StockJudge) Sent(seq uint64, now time.Time) {
	j.sent = now
	j.asked++
	j.echo.Sent(seq, now)
}

// Received tells that an echo was answered, and reports whether it was waited for.
func (j *StockJudge) Received(seq uint64, now time.Time) bool {
	if !j.echo.Received(seq, now) {
		return false
	}
	j.answers, j.proof, j.heard = true, now, now
	return true
}

// Use tells that somebody relies on the tunnel now.
func (j *StockJudge) Use(now time.Time) { j.echo.Use(now) }

// Next says when the next echo should be sent; in the past: now. There is nothing to ask where there is no session:
// only the peer knows where it is.
func (j *StockJudge) Next(now time.Time) time.Time {
	switch {
	case !j.session(j.handshake, now):
		return now.Add(never)
	case !j.answers && j.asked >= echoPatience:
		return j.sent.Add(echoRarely)
	}
	return j.echo.Next(now)
}

// State says what is believed now.
func (j *StockJudge) State(now time.Time) State {
	switch {
	case j.handshake.IsZero():
		return Unknown
	case !j.session(j.handshake, now):
		return Down
	case j.answers:
		return j.echo.State(now)
	case now.Sub(j.heard) > StockSilence:
		return Down
	}
	return Up
}

// Doubtful reports whether a handshake would tell more: a peer that answered echoes answers no more, and is either
// not there or has another firewall.
func (j *StockJudge) Doubtful(now time.Time) bool {
	return j.answers && j.session(j.handshake, now) && j.echo.State(now) == Down
}

// Quality gives what the answers measure; nothing of a peer that gives none.
func (j *StockJudge) Quality() Quality {
	if !j.answers {
		return Quality{}
	}
	return j.echo.Quality()
}
