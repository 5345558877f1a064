package fabric

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

var addrPorts = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

func TestHeaderRoundTrip(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   Header
		want Header // zero: in
	}{
		{name: "IPv4", in: Header{Target: "target_1", Site: "site_1", Service: "svc_1", Client: ap("203.0.113.9:4711"), Local: ap("198.51.100.1:443"), Hops: 1}},
		{name: "IPv6", in: Header{Target: "t", Site: "s", Client: ap("[2001:db8::1]:65535"), Local: ap("[2001:db8::2]:1")}},
		{name: "UDP over IPv4", in: Header{Network: UDP, Target: "t", Site: "s", Port: 999, Client: ap("203.0.113.9:1"), Local: ap("198.51.100.1:53")}},
		{name: "kept", in: Header{Target: "t", Site: "s", Client: ap("203.0.113.9:4711"), Local: ap("198.51.100.1:443"), Hops: 1, Kept: true}},
		{name: "kept and framed", in: Header{Target: "t", Site: "s", Client: ap("203.0.113.9:4711"), Local: ap("198.51.100.1:443"), Hops: 1, Kept: true, Framed: true}},
		{name: "UDP over IPv6", in: Header{Network: UDP, Target: "t", Site: "s", Port: 65535, Client: ap("[2001:db8::1]:1"), Local: ap("[2001:db8::2]:53"), Hops: 1}},
		{name: "mixed families", in: Header{Target: "t", Site: "s", Client: ap("203.0.113.9:1"), Local: ap("[2001:db8::2]:443")}},
		{name: "longest ids", in: Header{Target: strings.Repeat("t", idSize), Site: strings.Repeat("s", idSize), Service: strings.Repeat("v", idSize), Client: ap("[2001:db8::1]:1"), Local: ap("[2001:db8::2]:2"), Hops: 255, Port: 65535}},
		{
			name: "IPv4-mapped from a dual-stack listener",
			in:   Header{Target: "t", Site: "s", Client: ap("[::ffff:203.0.113.9]:1"), Local: ap("[::ffff:198.51.100.1]:443")},
			want: Header{Target: "t", Site: "s", Client: ap("203.0.113.9:1"), Local: ap("198.51.100.1:443")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == (Header{}) {
				want = tt.in
			}
			b, err := tt.in.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if len(b) > HeaderSize {
				t.Errorf("%d bytes, more than a reader takes", len(b))
			}
			rest := "the stream"
			r := io.MultiReader(bytes.NewReader(b), strings.NewReader(rest))
			got, err := readHeader(iotest.OneByteReader(r))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, addrPorts); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			if left, _ := io.ReadAll(r); string(left) != rest {
				t.Errorf("after the header %q is left, want %q", left, rest)
			}
		})
	}
}

func TestMarshalRefuses(t *testing.T) {
	good := Header{Target: "t", Site: "s", Client: ap("203.0.113.9:1"), Local: ap("198.51.100.1:443")}
	for _, tt := range []struct {
		name string
		edit func(*Header)
		want string
	}{
		{"no client", func(h *Header) { h.Client = netip.AddrPort{} }, "both are needed"},
		{"no listener", func(h *Header) { h.Local = netip.AddrPort{} }, "both are needed"},
		{"no target", func(h *Header) { h.Target = "" }, "both are needed"},
		{"no site", func(h *Header) { h.Site = "" }, "both are needed"},
		{"long id", func(h *Header) { h.Service = strings.Repeat("x", idSize+1) }, "an id of 129 bytes"},
		{"line feed", func(h *Header) { h.Target = "a\nb" }, "byte 0x0a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := good
			tt.edit(&h)
			if _, err := h.Marshal(); !errors.Is(err, ErrHeader) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// On the wire a header says what its stream carries as the PROXY protocol does.
func TestHeaderFamilies(t *testing.T) {
	for want, h := range map[byte]Header{
		0x11: {Client: ap("203.0.113.9:1"), Local: ap("198.51.100.1:53")},
		0x12: {Network: UDP, Client: ap("203.0.113.9:1"), Local: ap("198.51.100.1:53")},
		0x21: {Client: ap("[2001:db8::1]:1"), Local: ap("[2001:db8::2]:53")},
		0x22: {Network: UDP, Client: ap("[2001:db8::1]:1"), Local: ap("[2001:db8::2]:53")},
	} {
		h.Target, h.Site = "t", "s"
		b, err := h.Marshal()
		if err != nil || b[13] != want {
			t.Errorf("%+v: family byte 0x%02x, %v, want 0x%02x", h, b[13], err, want)
		}
	}
}

// raw builds a header by hand.
func raw(t testing.TB, command proxyproto.ProtocolVersionAndCommand, family proxyproto.AddressFamilyAndProtocol, tlvs ...proxyproto.TLV) []byte {
	t.Helper()
	p := &proxyproto.Header{Version: 2, Command: command, TransportProtocol: family}
	switch {
	case family.IsUnix():
		p.SourceAddr, p.DestinationAddr = &net.UnixAddr{Name: "a"}, &net.UnixAddr{Name: "b"}
	case family.IsDatagram():
		p.SourceAddr, p.DestinationAddr = &net.UDPAddr{IP: net.IP{1, 2, 3, 4}}, &net.UDPAddr{IP: net.IP{1, 2, 3, 4}}
	default:
		p.SourceAddr, p.DestinationAddr = &net.TCPAddr{IP: net.IP{1, 2, 3, 4}}, &net.TCPAddr{IP: net.IP{1, 2, 3, 4}}
	}
	if err := p.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	b, err := p.Format()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tlv(typ proxyproto.PP2Type, value string) proxyproto.TLV {
	return proxyproto.TLV{Type: typ, Value: []byte(value)}
}

func TestReadHeaderRefuses(t *testing.T) {
	target, site := tlv(tlvTarget, "t"), tlv(tlvSite, "s")
	proxy := func(tlvs ...proxyproto.TLV) []byte { return raw(t, proxyproto.PROXY, proxyproto.TCPv4, tlvs...) }
	long := append(append([]byte(nil), proxyproto.SIGV2...), 0x21, 0x11, 0, 0)
	binary.BigEndian.PutUint16(long[14:], HeaderSize-fixedSize+1)
	short := proxy(target, site)
	binary.BigEndian.PutUint16(short[14:], 4)
	torn := proxy(target, site)
	torn = torn[:len(torn)-1]
	binary.BigEndian.PutUint16(torn[14:], uint16(len(torn)-fixedSize))
	for _, tt := range []struct {
		name string
		in   []byte
		want string
	}{
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "signature"},
		{"version 1", []byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"), "signature"},
		{"too long", long, "1025 bytes, at most 1024"},
		{"shorter than its addresses", short, "length"},
		{"torn TLV", torn, "truncated TLV"},
		{"LOCAL", raw(t, proxyproto.LOCAL, proxyproto.TCPv4, target, site), "want a PROXY header"},
		{"unix", raw(t, proxyproto.PROXY, proxyproto.UnixStream, target, site), "want TCP or UDP"},
		{"unix datagrams", raw(t, proxyproto.PROXY, proxyproto.UnixDatagram, target, site), "want TCP or UDP"},
		{"no TLV", proxy(), "both are needed"},
		{"no site", proxy(target), "both are needed"},
		{"target twice", proxy(target, site, target), "TLV 0xe0 occurs twice"},
		{"empty target", proxy(tlv(tlvTarget, ""), site), "an id of 0 bytes"},
		{"long target", proxy(tlv(tlvTarget, strings.Repeat("x", 129)), site), "an id of 129 bytes"},
		{"control byte", proxy(tlv(tlvTarget, "a\x00"), site), "byte 0x00"},
		{"empty hop count", proxy(target, site, tlv(tlvHops, "")), "hop count of 0 bytes"},
		{"narrow port", proxy(target, site, tlv(tlvPort, "\x01")), "a port of 1 bytes"},
		{"wide port", proxy(target, site, tlv(tlvPort, "\x00\x00\x01")), "a port of 3 bytes"},
		{"port twice", proxy(target, site, tlv(tlvPort, "\x00\x01"), tlv(tlvPort, "\x00\x01")), "TLV 0xe4 occurs twice"},
		{"wide hop count", proxy(target, site, tlv(tlvHops, "\x00\x01")), "hop count of 2 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readHeader(bytes.NewReader(tt.in))
			if !errors.Is(err, ErrHeader) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadHeaderPassesOverUnknownTLVs(t *testing.T) {
	b := raw(t, proxyproto.PROXY, proxyproto.TCPv4, tlv(0xE9, "later"), tlv(tlvTarget, "t"), tlv(proxyproto.PP2_TYPE_NOOP, "pad"), tlv(tlvSite, "s"))
	h, err := readHeader(bytes.NewReader(b))
	if err != nil || h.Target != "t" || h.Site != "s" {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestReadHeaderEndsEarly(t *testing.T) {
	b := raw(t, proxyproto.PROXY, proxyproto.TCPv4, tlv(tlvTarget, "t"), tlv(tlvSite, "s"))
	for n := range len(b) {
		if _, err := readHeader(bytes.NewReader(b[:n])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: error %v, want an end of file", n, err)
		}
	}
}

func TestReadHeaderTakesFiveSeconds(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		go func() {
			for range 3 { // slower and slower does not help
				_, _ = a.Write(proxyproto.SIGV2[:2])
				time.Sleep(2 * time.Second)
			}
		}()
		start := time.Now()
		_, err := ReadHeader(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v, want a deadline", err)
		}
		if d := time.Since(start); d != HeaderTime {
			t.Errorf("after %v, want %v", d, HeaderTime)
		}
		time.Sleep(HeaderTime)
	})
}

func TestReadHeaderLeavesNoDeadline(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		head := raw(t, proxyproto.PROXY, proxyproto.TCPv4, tlv(tlvTarget, "t"), tlv(tlvSite, "s"))
		go func() {
			_, _ = a.Write(head)
			time.Sleep(time.Hour)
			_, _ = a.Write([]byte("x"))
		}()
		if _, err := ReadHeader(b); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Read(make([]byte, 1)); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

func FuzzReadHeader(f *testing.F) {
	f.Add(raw(f, proxyproto.PROXY, proxyproto.TCPv4, tlv(tlvTarget, "t"), tlv(tlvSite, "s"), tlv(tlvService, "v"), tlv(tlvHops, "\x01")))
	f.Add(raw(f, proxyproto.PROXY, proxyproto.TCPv6, tlv(tlvTarget, "t"), tlv(tlvSite, "s")))
	f.Add(raw(f, proxyproto.PROXY, proxyproto.UDPv4, tlv(tlvTarget, "t"), tlv(tlvSite, "s"), tlv(tlvPort, "\x01\x02")))
	f.Add(raw(f, proxyproto.LOCAL, proxyproto.UNSPEC))
	f.Add([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		h, err := readHeader(r)
		if len(in)-r.Len() > HeaderSize {
			t.Fatalf("%d bytes were read", len(in)-r.Len())
		}
		if err != nil {
			return
		}
		out, err := h.Marshal()
		if err != nil {
			t.Fatalf("%+v was read and can't be written: %v", h, err)
		}
		again, err := readHeader(bytes.NewReader(out))
		if err != nil || again != h {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}
