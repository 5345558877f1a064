package httpproxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// hostile is a connection whose client writes frames as it likes.
type hostile struct {
	*http2.Framer
	block []byte // of a whole request
	sent  int    // bytes
}

func (e *edge) hostile(t *testing.T) *hostile {
	t.Helper()
	c := e.dial(t, "a.example", "h2")
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	h := &hostile{block: fields("a.example")}
	h.Framer = http2.NewFramer(io.MultiWriter(c, (*counter)(&h.sent)), c)
	if err := h.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return h
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func fields(host string, more ...hpack.HeaderField) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range append([]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: host}, {Name: ":path", Value: "/slow"}}, more...) {
		_ = enc.WriteField(f)
	}
	return b.Bytes()
}

// open begins a stream with a whole request.
func (h *hostile) open(stream uint32) error {
	return h.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: h.block, EndStream: true, EndHeaders: true})
}

// ends reads until the node closes the connection.
func (h *hostile) ends(t *testing.T) {
	t.Helper()
	for {
		if _, err := h.ReadFrame(); err != nil {
			var stream http2.StreamError
			if errors.As(err, &stream) {
				continue
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection is open still, after %d bytes", h.sent)
			}
			return
		}
	}
}

// TestT11_RapidReset opens streams and resets them at once (CVE-2023-39325): the target works on no more of them at a time than
// one connection may have open, and others are served meanwhile.
func TestT11_RapidReset(t *testing.T) {
	var now, most atomic.Int64
	e := newEdge(t, map[string]string{"slow": backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			return
		}
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-r.Context().Done()
	})})
	e.serve(t, map[string]string{"a.example": "slow"})
	h := e.hostile(t)
	go func() { _, _ = io.Copy(io.Discard, readable{h}) }() // so that it isn't the client's silence that slows the node
	opened := 0
	for ; opened < 20_000; opened++ {
		stream := uint32(2*opened + 1)
		if h.open(stream) != nil || h.WriteRSTStream(stream, http2.ErrCodeCancel) != nil {
			break // the node has had enough
		}
		if opened%1000 == 500 {
			if status, _ := get(t, e.client(t, true, ""), "https://a.example/"); status != http.StatusOK {
				t.Fatalf("another client, after %d: %d", opened, status)
			}
		}
	}
	if status, _ := get(t, e.client(t, true, ""), "https://a.example/"); status != http.StatusOK {
		t.Errorf("another client: %d", status)
	}
	t.Logf("%d streams, at most %d of them at a time at the target", opened, most.Load())
	if most.Load() > 100 {
		t.Errorf("the target worked on %d requests of one connection at a time, that may have 100 open", most.Load())
	}
	waitFor(t, func() bool { return now.Load() == 0 })
}

// readable is the frames of a connection as bytes that nobody wants.
type readable struct{ h *hostile }

func (r readable) Read([]byte) (int, error) { _, err := r.h.ReadFrame(); return 0, err }

// TestT11_HostileFrames sends what has brought servers down: the connection ends, after a bounded number of bytes, or goes
// on as it may, and others are served.
func TestT11_HostileFrames(t *testing.T) {
	e := newEdge(t, map[string]string{"plain": named(t, "plain")})
	e.serve(t, map[string]string{"a.example": "plain"})
	again := func(write func(h *hostile) error) func(*hostile) {
		return func(h *hostile) {
			for range 50_000 {
				if write(h) != nil {
					return
				}
			}
		}
	}
	const stays = -1 // the node answers what it is asked, or ends the stream
	name := strings.Repeat("n", 1000)
	large := fields("a.example", hpack.HeaderField{Name: name, Value: name})[10:]
	for _, tt := range []struct {
		name string
		send func(*hostile)
		most int // bytes until the end; 0: some; stays: there is none
	}{
		{"CONTINUATION without end", func(h *hostile) { // CVE-2023-45288
			_ = h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.block})
			again(func(h *hostile) error { return h.WriteContinuation(1, false, large) })(h)
		}, 16 << 20},
		{"CONTINUATION of nothing", func(h *hostile) {
			_ = h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.block})
			again(func(h *hostile) error { return h.WriteContinuation(1, false, nil) })(h)
			_ = h.WriteRawFrame(http2.FrameData, 0, 1, nil) // what is no CONTINUATION
		}, 0},
		{"another frame between", func(h *hostile) {
			_ = h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: h.block})
			_ = h.open(3)
		}, 0},
		{"PING that nobody reads", again(func(h *hostile) error { return h.WritePing(false, [8]byte{}) }), stays},
		{"SETTINGS that nobody reads", again(func(h *hostile) error { return h.WriteSettings() }), stays},
		{"frame beyond the size", func(h *hostile) {
			_ = h.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, make([]byte, 1<<20))
		}, 0},
		{"stream of an even number", func(h *hostile) { _ = h.open(2) }, 0},
		{"stream that goes back", func(h *hostile) { _ = h.open(5); _ = h.open(3) }, 0},
		{"DATA on no stream", func(h *hostile) { _ = h.WriteRawFrame(http2.FrameData, 0, 0, []byte("x")) }, 0},
		{"window beyond 2^31", func(h *hostile) { _ = h.WriteWindowUpdate(0, 1<<31-1); _ = h.WriteWindowUpdate(0, 1<<31-1) }, 0},
		{"window of SETTINGS beyond 2^31", func(h *hostile) { _ = h.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{0, 4, 0xff, 0xff, 0xff, 0xff}) }, 0},
		{"half a SETTINGS", func(h *hostile) { _ = h.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{0, 4, 0}) }, 0},
		{"PING of four bytes", func(h *hostile) { _ = h.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 4)) }, 0},
		{"padding beyond the frame", func(h *hostile) {
			_ = h.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, 1, []byte{200, 1, 2})
		}, stays},
		{"fields that aren't HPACK", func(h *hostile) {
			_ = h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: bytes.Repeat([]byte{0xff}, 20), EndHeaders: true})
		}, 0},
		{"PUSH_PROMISE of a client", func(h *hostile) {
			_ = h.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: h.block, EndHeaders: true})
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := e.hostile(t)
			h.AllowIllegalWrites = true
			tt.send(h)
			if tt.most != stays {
				h.ends(t)
			}
			if tt.most > 0 && h.sent > tt.most {
				t.Errorf("it took %d bytes, want at most %d", h.sent, tt.most)
			}
			if status, body := get(t, e.client(t, true, ""), "https://a.example/"); status != http.StatusOK || body == "" {
				t.Errorf("another client: %d %q", status, body)
			}
		})
	}
}
