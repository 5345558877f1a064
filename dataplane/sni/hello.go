package sni

import (
	"bytes"
	"errors"
	"net"
	"os"
	"time"

	"github.com/warrenedge/warren/shared/hostname"
)

// Bounds of a ClientHello. maxHello counts the bytes on the wire, record headers included, so a
// hello cut into tiny records has to be a short one.
const (
	maxHello       = 64 << 10
	firstByteTime  = 5 * time.Second
	wholeHelloTime = 10 * time.Second // the wait for the first byte included
	maxRecord      = 16 << 10         // RFC 8446 §5.1
	recordHeader   = 5
	firstBuffer    = 2 << 10 // a hello with a post-quantum key share is 1.7 KiB
)

// A reason is why a connection was closed; it is the label of a counter.
type reason string

func (r reason) Error() string { return "client hello: " + string(r) }

const (
	reasonSlow       reason = "slow"       // no hello in time
	reasonGone       reason = "gone"       // the client closed or reset first
	reasonPlainHTTP  reason = "plain_http" // an HTTP request
	reasonNotTLS     reason = "not_tls"    // no handshake record: SSLv2, SSH, noise
	reasonMalformed  reason = "malformed"  // a handshake record that holds no well-formed ClientHello
	reasonTooLarge   reason = "too_large"
	reasonNoName     reason = "no_name"  // no server name, or only an encrypted one
	reasonBadName    reason = "bad_name" // an IP address, or no hostname
	reasonNoRoute    reason = "no_route"
	reasonNoTarget   reason = "no_target"
	reasonDial       reason = "dial"
	reasonPerIP      reason = "per_ip"
	reasonCrowded    reason = "crowded"
	reasonTLSBusy    reason = "tls_busy"
	reasonQuota      reason = "quota" // the organization's, of requests and connections
	reasonShare      reason = "share" // of the connections that the organization may have
	reasonDraining   reason = "draining"
	reasonNotAllowed reason = "not_allowed"
)

var reasons = []reason{reasonSlow, reasonGone, reasonPlainHTTP, reasonNotTLS, reasonMalformed, reasonTooLarge, reasonNoName,
	reasonBadName, reasonNoRoute, reasonNoTarget, reasonDial, reasonPerIP, reasonCrowded, reasonTLSBusy, reasonQuota, reasonShare, reasonDraining, reasonNotAllowed}

// readHello reads from conn until one whole ClientHello is there, and returns its canonical server
// name and the protocol that it asks for (ALPN; "" unless it names exactly one) with every byte that
// was read: the caller owes them to whoever serves the connection. The protocol is known also when
// the error is about the name. The read deadline is cleared when the hello is whole.
func readHello(conn net.Conn) (name, protocol string, read []byte, err error) {
	begun := time.Now()
	if err := conn.SetReadDeadline(begun.Add(firstByteTime)); err != nil {
		return "", "", nil, reasonGone
	}
	buf := make([]byte, 0, firstBuffer)
	var h hello
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= maxHello {
				return "", "", buf, reasonTooLarge
			}
			buf = append(make([]byte, 0, min(2*cap(buf), maxHello)), buf...)
		}
		n, err := conn.Read(buf[len(buf):cap(buf)])
		if n > 0 && len(buf) == 0 {
			if err := conn.SetReadDeadline(begun.Add(wholeHelloTime)); err != nil {
				return "", "", nil, reasonGone
			}
		}
		buf = buf[:len(buf)+n]
		done, perr := h.take(buf)
		if perr != nil {
			return "", "", buf, perr
		}
		if done {
			break
		}
		if err != nil {
			return "", "", buf, readReason(err)
		}
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return "", "", buf, reasonGone
	}
	name, protocol, err = parseHello(h.message(buf))
	return name, protocol, buf, err
}

func readReason(err error) reason {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return reasonSlow
	}
	return reasonGone
}

// hello follows the records that carry a ClientHello. It keeps offsets instead of bytes, so that a
// hello in one record (all but a few) is parsed where it was read.
type hello struct {
	next    int    // offset of the first record header not looked at yet
	have    int    // bytes of the handshake message in whole records before next
	records int    // whole records before next
	joined  []byte // the message so far, once it spans several records
}

// take looks at what is new in buf, which holds everything from the first byte on, and reports
// whether the message is complete.
func (h *hello) take(buf []byte) (done bool, err error) {
	if h.next == 0 && len(buf) > 0 && buf[0] != 22 {
		if looksLikeHTTP(buf[0]) {
			return false, reasonPlainHTTP
		}
		return false, reasonNotTLS
	}
	for len(buf)-h.next >= recordHeader {
		head := buf[h.next : h.next+recordHeader]
		// The version is what crypto/tls asks of a first record (any below 16.0): clients differ in
		// what they write there, and RFC 8446 §5.1 says to ignore it.
		size := int(head[3])<<8 | int(head[4])
		if head[0] != 22 || head[1] >= 0x10 || size == 0 || size > maxRecord {
			return false, reasonMalformed
		}
		body := h.next + recordHeader
		if len(buf)-body < size {
			return false, nil
		}
		if h.records == 1 {
			h.joined = append(h.joined, buf[recordHeader:h.next]...)
		}
		if h.records > 0 {
			h.joined = append(h.joined, buf[body:body+size]...)
		}
		h.records++
		h.have += size
		h.next = body + size
		done, err := h.complete(buf)
		if done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// complete checks the handshake header (RFC 8446 §4) and whether the message has all its bytes.
func (h *hello) complete(buf []byte) (bool, error) {
	m := h.message(buf)
	if m[0] != 1 {
		return false, reasonMalformed
	}
	if h.have < 4 {
		return false, nil
	}
	want := 4 + (int(m[1])<<16 | int(m[2])<<8 | int(m[3]))
	if want > maxHello {
		return false, reasonTooLarge
	}
	if h.have > want {
		return false, reasonMalformed // a second message behind the hello, in the same record
	}
	return h.have == want, nil
}

// message is the part of the handshake message in whole records; it aliases buf if that is one.
func (h *hello) message(buf []byte) []byte {
	if h.records == 1 {
		return buf[recordHeader : recordHeader+h.have]
	}
	return h.joined
}

// looksLikeHTTP reports whether a first byte can begin an HTTP method. It decides only what is
// counted: either way the connection is closed.
func looksLikeHTTP(c byte) bool { return c >= 'A' && c <= 'Z' }

// parseHello returns the canonical host_name (RFC 6066 §3) and the one ALPN protocol of a whole
// ClientHello message (RFC 8446 §4.1.2, the four octets of its header included). It accepts no hello
// whose structure crypto/tls would refuse, so that both always mean the same.
func parseHello(message []byte) (name, protocol string, err error) {
	s := scanner(message)
	if !s.skip(4 + 2 + 32) { // header, legacy_version, random
		return "", "", reasonMalformed
	}
	session, ok := s.prefixed8()
	if !ok || len(session) > 32 {
		return "", "", reasonMalformed
	}
	suites, ok := s.prefixed16()
	if !ok || len(suites)%2 != 0 {
		return "", "", reasonMalformed
	}
	if _, ok := s.prefixed8(); !ok { // compression methods
		return "", "", reasonMalformed
	}
	if len(s) == 0 {
		return "", "", reasonNoName // a hello without extensions is well formed
	}
	extensions, ok := s.prefixed16()
	if !ok || len(s) != 0 {
		return "", "", reasonMalformed
	}
	raw, alpn, err := findExtensions(extensions)
	if err != nil {
		return "", "", err
	}
	name, err = canonicalName(raw)
	return name, string(alpn), err
}

func canonicalName(raw []byte) (string, error) {
	if len(raw) == 0 {
		return "", reasonNoName
	}
	// RFC 6066 §3: without a trailing dot. One would be accepted by hostname.Canonical.
	if raw[len(raw)-1] == '.' || bytes.IndexByte(raw, 0) >= 0 {
		return "", reasonBadName
	}
	name, err := hostname.Canonical(string(raw))
	if err != nil {
		return "", reasonBadName
	}
	return name, nil
}

// findExtensions walks all extensions, also behind the ones it looks for: a repeated one makes the
// hello malformed (RFC 8446 §4.2), and of two names the wrong one would be ours. It gives the raw
// name and the ALPN protocol; nil is none, and more than one protocol is none.
func findExtensions(s scanner) (name, alpn []byte, err error) {
	var seen [1 << 16 / 64]uint64
	for len(s) > 0 {
		kind, ok := s.uint16()
		if !ok {
			return nil, nil, reasonMalformed
		}
		data, ok := s.prefixed16()
		if !ok || seen[kind/64]&(1<<(kind%64)) != 0 {
			return nil, nil, reasonMalformed
		}
		seen[kind/64] |= 1 << (kind % 64)
		switch kind {
		case 0:
			name, ok = hostName(data)
		case 16:
			alpn, ok = onlyProtocol(data)
		}
		if !ok {
			return nil, nil, reasonMalformed
		}
	}
	return name, alpn, nil
}

// hostName reads a ServerNameList (RFC 6066 §3).
func hostName(data scanner) (name []byte, ok bool) {
	names, ok := data.prefixed16()
	if !ok || len(names) == 0 || len(data) != 0 {
		return nil, false
	}
	for len(names) > 0 {
		form, ok := names.uint8()
		if !ok {
			return nil, false
		}
		n, ok := names.prefixed16()
		if !ok || len(n) == 0 || form == 0 && name != nil {
			return nil, false
		}
		if form == 0 {
			name = n
		}
	}
	return name, true
}

// onlyProtocol reads a ProtocolNameList (RFC 7301 §3.1): its name if it has one, nil if it has several.
func onlyProtocol(data scanner) (protocol []byte, ok bool) {
	list, ok := data.prefixed16()
	if !ok || len(list) == 0 || len(data) != 0 {
		return nil, false
	}
	for several := false; len(list) > 0; several = true {
		p, ok := list.prefixed8()
		if !ok || len(p) == 0 {
			return nil, false
		}
		if protocol = p; several {
			protocol = nil
		}
	}
	return protocol, true
}

// scanner takes the fields of a TLS structure (RFC 8446 §3) from the front; every result aliases it.
type scanner []byte

func (s *scanner) skip(n int) bool {
	if len(*s) < n {
		return false
	}
	*s = (*s)[n:]
	return true
}

func (s *scanner) uint8() (byte, bool) {
	if len(*s) < 1 {
		return 0, false
	}
	v := (*s)[0]
	*s = (*s)[1:]
	return v, true
}

func (s *scanner) uint16() (uint16, bool) {
	if len(*s) < 2 {
		return 0, false
	}
	v := uint16((*s)[0])<<8 | uint16((*s)[1])
	*s = (*s)[2:]
	return v, true
}

func (s *scanner) bytes(n int) (scanner, bool) {
	if len(*s) < n {
		return nil, false
	}
	v := (*s)[:n]
	*s = (*s)[n:]
	return v, true
}

func (s *scanner) prefixed8() (scanner, bool) {
	n, ok := s.uint8()
	if !ok {
		return nil, false
	}
	return s.bytes(int(n))
}

func (s *scanner) prefixed16() (scanner, bool) {
	n, ok := s.uint16()
	if !ok {
		return nil, false
	}
	return s.bytes(int(n))
}
