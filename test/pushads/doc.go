// Package pushads tests both halves of the push against each other, over TLS on loopback.
package pushads
