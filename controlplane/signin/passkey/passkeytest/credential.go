// Package passkeytest makes passkeys for tests' virtual authenticators.
package passkeytest

import (
	"bytes"

	"github.com/descope/virtualwebauthn"
)

// whole begins each of the two coordinates of a P-256 key in a COSE key (RFC 9053, section 7.1.1): a string of 32 bytes.
var whole = [2][]byte{{0x21, 0x58, 32}, {0x22, 0x58, 32}}

// Credential is a new ES256 credential. virtualwebauthn writes a coordinate without its leading zeros, which RFC 9053
// has kept and a server refuses to do without, so that one of its keys in 128 is no good: those are thrown away here.
func Credential() virtualwebauthn.Credential {
	for {
		c := virtualwebauthn.NewCredential(virtualwebauthn.KeyTypeEC2)
		if k := c.Key.AttestationData(); bytes.Contains(k, whole[0]) && bytes.Contains(k, whole[1]) {
			return c
		}
	}
}
