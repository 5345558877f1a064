// Package model holds the nouns of Warren's configuration, the rules that hold across them, and an
// immutable view of all of them at one Revision. It does no I/O.
package model
