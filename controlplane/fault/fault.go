// Package fault names the kinds of error that a caller can act on. store sets them, rest maps them
// once to problem documents, push once to gRPC codes.
package fault

import (
	"errors"
	"fmt"
	"slices"
)

// Kind is what a caller can do about an error.
type Kind int

// Kinds. The zero value is an error of ours.
const (
	Internal    Kind = iota
	Invalid          // the request is wrong; Field says where
	NotFound         // no such object, or none that the caller may see
	Conflict         // another object is in the way
	Denied           // the caller may not
	Unavailable      // try again
	Stale            // the object is not what the caller took it for
)

func (k Kind) String() string {
	return [...]string{"internal", "invalid", "not found", "conflict", "denied", "unavailable", "stale"}[k]
}

// Error is an error of a kind, about a field of the request if Field is set ("spec.targets[0].port").
type Error struct {
	Kind  Kind
	Field string
	Msg   string
	Err   error // cause; not for users
}

func (e *Error) Error() string {
	s := e.Msg
	if e.Field != "" {
		s = e.Field + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// New makes an error that has no field.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...)}
}

// Field makes an Invalid error about a field.
func Field(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Field: field, Msg: fmt.Sprintf(format, args...)}
}

// Of returns the kind of the first Error in err's chain, else Internal.
func Of(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Ignore makes no error of one of some kinds: of what somebody else has removed meanwhile, mostly.
func Ignore(err error, kinds ...Kind) error {
	if err != nil && slices.Contains(kinds, Of(err)) {
		return nil
	}
	return err
}
