package fabric

import (
	"errors"
	"fmt"
)

// Status is the one byte with which the accepting end of a stream answers its header.
type Status byte

// Statuses. After StatusConnected the stream follows, after StatusFramed too, as package fabric's teller sends it; after
// any other the connection is closed.
const (
	StatusConnected  Status = 0x00
	StatusNotAllowed Status = 0x01 // the accepting end may not serve this, or not for this peer
	StatusDialFailed Status = 0x02 // the target did not take the connection
	StatusNoTunnel   Status = 0x03 // no way to the site
	StatusBadRequest Status = 0x04 // the header is not one
	StatusFramed     Status = 0x05 // connected; what comes back is framed, for who has said that he understands (Header.Framed)
)

func (s Status) String() string {
	switch s {
	case StatusConnected, StatusFramed:
		return "connected"
	case StatusNotAllowed:
		return "not allowed"
	case StatusDialFailed:
		return "dial failed"
	case StatusNoTunnel:
		return "no tunnel"
	case StatusBadRequest:
		return "bad request"
	}
	return fmt.Sprintf("status 0x%02x", byte(s))
}

// label is a metric label: a peer's invention makes no series of its own.
func (s Status) label() string {
	switch s {
	case StatusConnected, StatusFramed:
		return "connected"
	case StatusNotAllowed:
		return "not_allowed"
	case StatusDialFailed:
		return "dial_failed"
	case StatusNoTunnel:
		return "no_tunnel"
	case StatusBadRequest:
		return "bad_request"
	}
	return "unknown"
}

// DialError says why no stream to a target came about. Status is the answer that came closest to the
// target; it is StatusNoTunnel when nobody answered at all.
type DialError struct {
	Status       Status
	Site, Target string
	Err          error // of the attempts, or the end of the context; may be nil
}

func (e *DialError) Error() string {
	s := fmt.Sprintf("dial target %s at site %s: %s", e.Target, e.Site, e.Status)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *DialError) Unwrap() error { return e.Err }

// NoWay reports whether an error of DialTarget means that nothing leads to the target's site, as opposed
// to a target that does not answer.
func NoWay(err error) bool {
	d, ok := errors.AsType[*DialError](err)
	return ok && d.Status == StatusNoTunnel
}

// closeness orders statuses by how far the request got.
func (s Status) closeness() int {
	switch s {
	case StatusDialFailed:
		return 3
	case StatusNotAllowed:
		return 2
	case StatusBadRequest:
		return 1
	}
	return 0
}
