package dns

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// DNS cookies (RFC 7873), with the contents of RFC 9018 §4 but for the hash: HMAC-SHA-256 under a secret of this process.
// Another node, or the same one after a restart, answers a client's cookie with one of its own.
const (
	clientCookie = 8
	serverCookie = 16                          // version, three reserved octets, time, hash
	cookieOption = clientCookie + serverCookie // and four octets before it
	cookieCode   = 10
	cookieLife   = time.Hour
	cookieAhead  = 5 * time.Minute // clocks go back
)

// cookies makes and checks cookies.
type cookies struct{ secret [32]byte }

func newCookies() *cookies {
	c := &cookies{}
	rand.Read(c.secret[:]) // never fails
	return c
}

// isCookie reports whether an option has a length that the RFC permits.
func isCookie(b []byte) bool {
	return len(b) == clientCookie || len(b) >= clientCookie+8 && len(b) <= clientCookie+32
}

// hash is a server cookie's, which binds it to who was given it, and when.
func (c *cookies) hash(client, head []byte, source netip.Addr) []byte {
	h := hmac.New(sha256.New, c.secret[:])
	h.Write(client[:clientCookie])
	h.Write(head)
	at := source.Unmap().As16()
	h.Write(at[:])
	return h.Sum(nil)[:8]
}

// valid reports whether a client's option holds a cookie that this process gave to that address lately.
func (c *cookies) valid(option []byte, source netip.Addr, now time.Time) bool {
	if len(option) != cookieOption || option[clientCookie] != 1 {
		return false
	}
	head := option[clientCookie : clientCookie+8]
	age := time.Duration(int32(uint32(now.Unix())-binary.BigEndian.Uint32(head[4:]))) * time.Second // RFC 1982
	return age < cookieLife && age > -cookieAhead && hmac.Equal(c.hash(option, head, source), option[clientCookie+8:])
}

// give appends a cookie to an answer, whose last record is an OPT without options.
func (c *cookies) give(packet, option []byte, source netip.Addr, now time.Time) []byte {
	binary.BigEndian.PutUint16(packet[len(packet)-2:], 4+cookieOption)
	packet = append(packet, 0, cookieCode, 0, cookieOption)
	packet = append(packet, option[:clientCookie]...)
	head := binary.BigEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(now.Unix()))
	return append(append(packet, head...), c.hash(option, head, source)...)
}
