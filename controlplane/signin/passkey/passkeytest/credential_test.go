package passkeytest

import "testing"

// A COSE key with both coordinates whole takes 77 bytes; of 1,000 keys of virtualwebauthn about eight are shorter.
func TestKeysAreWhole(t *testing.T) {
	for range 1000 {
		c := Credential()
		if n := len(c.Key.AttestationData()); n != 77 {
			t.Fatalf("a key of %d bytes", n)
		}
	}
}
