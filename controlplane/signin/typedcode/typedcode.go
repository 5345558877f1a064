// Package typedcode makes codes that people read at one place and type at another.
package typedcode

import (
	"crypto/rand"
	"math/big"
	"strings"
)

const (
	letters = "BCDFGHJKLMNPQRSTVWXZ" // no vowels: codes are no words (RFC 8628 §6.1)
	length  = 8                      // 34 bits
)

// New draws a code.
func New() string {
	var b strings.Builder
	for range length {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			panic(err) // never since Go 1.24
		}
		b.WriteByte(letters[n.Int64()])
	}
	return b.String()
}

// Canonical is a code as it was made, however it was typed.
func Canonical(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(letters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(text))
}
