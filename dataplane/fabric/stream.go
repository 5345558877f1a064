package fabric

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// A stream starts with a PROXY protocol v2 header (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt)
// in which source and destination are the client's and the listener's address, and TLVs say where to.
const (
	tlvTarget  proxyproto.PP2Type = 0xE0
	tlvSite    proxyproto.PP2Type = 0xE1
	tlvService proxyproto.PP2Type = 0xE2
	tlvHops    proxyproto.PP2Type = 0xE3
	tlvPort    proxyproto.PP2Type = 0xE4 // big endian; left out when zero
	tlvKept    proxyproto.PP2Type = 0xE5 // one byte, 1, or keptFramed; left out when not
)

// keptFramed is that of a stream which is kept and may be answered with StatusFramed.
const keptFramed = 2

// Bounds of a header.
const (
	HeaderTime = 5 * time.Second // from the first byte awaited to the last
	HeaderSize = 1024            // fixed part included
	idSize     = 128             // of one id

	fixedSize = 16 // signature, command, family, length
)

// Header opens a stream: which target is meant, for whom.
type Header struct {
	Target, Site  string
	Service       string // may be empty
	Network       Network
	Port          uint16 // added to the target's own
	Client, Local netip.AddrPort
	Hops          uint8 // relays on the way, the one addressed included
	// Kept asks a relay to tell when whom the stream leads through falls silent (Forsaker): the stream is kept for what
	// comes later. It says as well that the asker understands the telling.
	Kept bool
	// Framed says of a stream that is kept, and has no frames of its own, that the asker understands StatusFramed.
	Framed bool
}

// ErrHeader is wrapped by every error about the content of a header, as opposed to the connection.
var ErrHeader = errors.New("stream header")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrHeader, fmt.Errorf(format, args...))
}

// Marshal gives the bytes that open a stream.
func (h Header) Marshal() ([]byte, error) {
	for _, id := range []string{h.Target, h.Site} {
		if id == "" {
			return nil, bad("target %q, site %q: both are needed", h.Target, h.Site)
		}
	}
	p, err := addresses(h.Network, h.Client, h.Local)
	if err != nil {
		return nil, bad("%w", err)
	}
	tlvs := []proxyproto.TLV{{Type: tlvTarget, Value: []byte(h.Target)}, {Type: tlvSite, Value: []byte(h.Site)}}
	if h.Service != "" {
		tlvs = append(tlvs, proxyproto.TLV{Type: tlvService, Value: []byte(h.Service)})
	}
	for _, t := range tlvs {
		if err := checkID(t.Value); err != nil {
			return nil, err
		}
	}
	if h.Hops > 0 {
		tlvs = append(tlvs, proxyproto.TLV{Type: tlvHops, Value: []byte{h.Hops}})
	}
	if h.Port > 0 {
		tlvs = append(tlvs, proxyproto.TLV{Type: tlvPort, Value: binary.BigEndian.AppendUint16(nil, h.Port)})
	}
	switch {
	case h.Kept && h.Framed:
		tlvs = append(tlvs, proxyproto.TLV{Type: tlvKept, Value: []byte{keptFramed}})
	case h.Kept:
		tlvs = append(tlvs, proxyproto.TLV{Type: tlvKept, Value: []byte{1}})
	}
	if err := p.SetTLVs(tlvs); err != nil {
		return nil, bad("%w", err)
	}
	b, err := p.Format()
	if err != nil {
		return nil, bad("%w", err)
	}
	return b, nil
}

// ReadHeader reads the header that opens a stream and not a byte more, so that the rest can be copied
// from conn itself. It takes HeaderTime at most; afterwards conn has no read deadline. The error wraps
// ErrHeader when the peer sent something else than a header.
func ReadHeader(conn net.Conn) (Header, error) {
	if err := conn.SetReadDeadline(time.Now().Add(HeaderTime)); err != nil {
		return Header{}, fmt.Errorf("read stream header: %w", err)
	}
	h, err := readHeader(conn)
	if err != nil {
		return Header{}, err
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return Header{}, fmt.Errorf("read stream header: %w", err)
	}
	return h, nil
}

func readHeader(r io.Reader) (Header, error) {
	var buf [HeaderSize]byte
	if _, err := io.ReadFull(r, buf[:fixedSize]); err != nil {
		return Header{}, fmt.Errorf("read stream header: %w", err)
	}
	if !bytes.Equal(buf[:len(proxyproto.SIGV2)], proxyproto.SIGV2) {
		return Header{}, bad("no PROXY protocol v2 signature")
	}
	size := fixedSize + int(binary.BigEndian.Uint16(buf[fixedSize-2:]))
	if size > HeaderSize {
		return Header{}, bad("%d bytes, at most %d are taken", size, HeaderSize)
	}
	if _, err := io.ReadFull(r, buf[fixedSize:size]); err != nil {
		return Header{}, fmt.Errorf("read stream header: %w", err)
	}
	return parseHeader(buf[:size])
}

// parseHeader reads a whole header.
func parseHeader(b []byte) (Header, error) {
	r := bytes.NewReader(b)
	br := bufio.NewReaderSize(r, HeaderSize)
	p, err := proxyproto.Read(br)
	if err != nil {
		return Header{}, bad("%w", err)
	}
	if p.Version != 2 || p.Command != proxyproto.PROXY {
		return Header{}, bad("version %d, command 0x%02x: want a PROXY header of version 2", p.Version, byte(p.Command))
	}
	var h Header
	switch p.TransportProtocol {
	case proxyproto.TCPv4, proxyproto.TCPv6:
	case proxyproto.UDPv4, proxyproto.UDPv6:
		h.Network = UDP
	default:
		return Header{}, bad("protocol 0x%02x: want TCP or UDP", byte(p.TransportProtocol))
	}
	if rest := br.Buffered() + r.Len(); rest > 0 {
		return Header{}, bad("%d bytes after the end", rest)
	}
	if h.Client, err = addrPort(p.SourceAddr); err != nil {
		return Header{}, err
	}
	if h.Local, err = addrPort(p.DestinationAddr); err != nil {
		return Header{}, err
	}
	tlvs, err := p.TLVs()
	if err != nil {
		return Header{}, bad("%w", err)
	}
	if err := h.take(tlvs); err != nil {
		return Header{}, err
	}
	if h.Target == "" || h.Site == "" {
		return Header{}, bad("target %q, site %q: both are needed", h.Target, h.Site)
	}
	return h, nil
}

// take reads our TLVs. Others are passed over: a later version may send more.
func (h *Header) take(tlvs []proxyproto.TLV) error {
	var seen [tlvKept - tlvTarget + 1]bool
	for _, t := range tlvs {
		if t.Type < tlvTarget || t.Type > tlvKept {
			continue
		}
		if i := t.Type - tlvTarget; seen[i] {
			return bad("TLV 0x%02x occurs twice", byte(t.Type))
		} else {
			seen[i] = true
		}
		switch t.Type {
		case tlvHops:
			if len(t.Value) != 1 {
				return bad("a hop count of %d bytes", len(t.Value))
			}
			h.Hops = t.Value[0]
			continue
		case tlvPort:
			if len(t.Value) != 2 {
				return bad("a port of %d bytes", len(t.Value))
			}
			h.Port = binary.BigEndian.Uint16(t.Value)
			continue
		case tlvKept:
			h.Kept, h.Framed = true, len(t.Value) == 1 && t.Value[0] == keptFramed
			continue
		}
		if err := checkID(t.Value); err != nil {
			return err
		}
		switch t.Type {
		case tlvTarget:
			h.Target = string(t.Value)
		case tlvSite:
			h.Site = string(t.Value)
		case tlvService:
			h.Service = string(t.Value)
		}
	}
	return nil
}

// checkID bounds an id to what may stand in logs as it is.
func checkID(b []byte) error {
	if len(b) == 0 || len(b) > idSize {
		return bad("an id of %d bytes", len(b))
	}
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return bad("byte 0x%02x in an id", c)
		}
	}
	return nil
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	t, ok := a.(interface{ AddrPort() netip.AddrPort }) // of TCP or UDP
	if !ok {
		return netip.AddrPort{}, bad("address %v has no port", a)
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// WriteStatus answers a header.
func WriteStatus(conn net.Conn, s Status) error {
	if err := conn.SetWriteDeadline(time.Now().Add(HeaderTime)); err != nil {
		return fmt.Errorf("answer stream header: %w", err)
	}
	if _, err := conn.Write([]byte{byte(s)}); err != nil {
		return fmt.Errorf("answer stream header: %w", err)
	}
	if err := conn.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("answer stream header: %w", err)
	}
	return nil
}

// statusError is the answer of a peer that did not connect.
type statusError Status

func (e statusError) Error() string { return "answer: " + Status(e).String() }

// open sends a header and awaits the answer. The caller bounds its time by closing conn or by a deadline. What it
// returns is conn, as the answer says that it is to be read.
func open(conn net.Conn, header []byte) (net.Conn, error) {
	if _, err := conn.Write(header); err != nil {
		return nil, fmt.Errorf("send stream header: %w", err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return nil, fmt.Errorf("await answer to stream header: %w", err)
	}
	switch s := Status(answer[0]); s {
	case StatusConnected:
		return conn, nil
	case StatusFramed:
		return newTold(conn), nil
	default:
		return nil, statusError(s)
	}
}
