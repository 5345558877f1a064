package gossip

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warrenedge/warren/shared/endpoint"
)

// seal is what a holder of a key can make of anything.
func seal(t testing.TB, k Key, version byte, plain, with []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(k)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce)
	return gcm.Seal(append([]byte{version}, nonce...), nonce, plain, with)
}

// sealedFrame is a frame of a stream with it.
func sealedFrame(t testing.TB, k Key, version byte, plain []byte) []byte {
	t.Helper()
	head := binary.BigEndian.AppendUint32([]byte{frameSealed}, uint32(len(seal(t, k, version, plain, nil))))
	return append(head, seal(t, k, version, plain, head)...)
}

// shout sends bytes to both ports of a node, and waits until it closes the connection.
func shout(t testing.TB, at netip.AddrPort, packet, frame []byte) {
	t.Helper()
	packets, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	_, _ = packets.Write(packet)
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	_, _ = conn.Write(frame)
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(io.Discard, conn)
}

// listener starts a node for strangers.
func listener(t testing.TB) (*real, netip.AddrPort) {
	t.Helper()
	udp, tcp, at := listen(t, netip.AddrPort{})
	node := &real{udp: udp, tcp: tcp, cfg: Config{Self: "node_0", Endpoint: endpoint.At(at), Keys: ringOf("a")}}
	node.start(t)
	eventually(t, "started", func() bool { return testutil.ToFloat64(node.m.restarts) == 1 })
	return node, at
}

// Who holds the key can seal nothing at all, or padding that is none; neither may end the process.
func TestNothingSealed(t *testing.T) {
	node, at := listener(t)
	dropped := func() float64 { return testutil.ToFloat64(node.m.dropped.WithLabelValues(dropMalformed)) }
	nothing, overlong := []byte{}, append(make([]byte, 15), 255)
	n := 0.0
	for _, tt := range []struct {
		version byte
		plain   []byte
	}{{1, nothing}, {0, overlong}, {0, nothing}, {2, overlong}} {
		shout(t, at, seal(t, key('a'), tt.version, tt.plain, nil), sealedFrame(t, key('a'), tt.version, tt.plain))
		n += 2
		eventually(t, "both are dropped", func() bool { return dropped() == n })
	}
	shout(t, at, []byte{frameSealed}, []byte{frameSealed, 0, 0, 0, 30})
	// What is sealed as it should be goes on to memberlist, which has an opinion of its own.
	refused := testutil.ToFloat64(node.m.dropped.WithLabelValues(dropMemberlist))
	shout(t, at, nil, sealedFrame(t, key('a'), 1, []byte{99}))
	eventually(t, "memberlist has seen it", func() bool {
		return testutil.ToFloat64(node.m.dropped.WithLabelValues(dropMemberlist)) > refused
	})
}

// FuzzSealed is what holders of a key may send.
func FuzzSealed(f *testing.F) {
	for _, s := range []string{"", "\x0a", "\x07\x00", "\x06\x84", "\x09\x82\xa4Algo\x00\xa3Buf\xc4\x00", "\x0c\x00\x00\x00\x00", "\x08", "\x04\x86", "\x00\x80"} {
		f.Add(byte(1), []byte(s))
		f.Add(byte(0), []byte(s+"0123456789abcde\x10"))
	}
	_, at := listener(f)
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		shout(t, at, seal(t, key('a'), version, b, nil), sealedFrame(t, key('a'), version, b))
	})
}
