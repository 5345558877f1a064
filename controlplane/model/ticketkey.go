package model

// TicketKeyState is how far a key of session tickets has come.
type TicketKeyState string

// States of a ticket key, in the order in which a key goes through them.
const (
	TicketKeyOpens   TicketKeyState = "opens"   // nodes learn it
	TicketKeySeals   TicketKeyState = "seals"   // nodes seal with it
	TicketKeyRetired TicketKeyState = "retired" // nodes still open with it
)

// TicketKey is one key of the TLS session tickets of a pool's nodes.
type TicketKey struct {
	ID        TicketKeyID
	Pool      PoolID
	State     TicketKeyState
	SealedKey []byte // Tink AEAD over 32 bytes, associated data: the ID's text form
	Meta
}
