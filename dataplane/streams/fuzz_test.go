package streams

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"
)

func FuzzMessage(f *testing.F) {
	for _, m := range []message{
		{kind: kindAsk, seq: 7, rtt: 40 * time.Millisecond, flags: flagTUN}, {kind: kindAsk, seq: math.MaxUint32, rtt: time.Hour * 9999},
		{kind: kindAnswer, seq: 7}, {kind: kindWant, want: mostConns}, {kind: 77},
	} {
		f.Add(m.append(nil))
	}
	f.Add([]byte{kindAsk, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3}) // of a later version
	f.Add([]byte{kindAsk, 3, 0, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		m, n, err := parseMessage(in)
		switch {
		case err != nil && (!errors.Is(err, errMessage) || n != 0):
			t.Fatalf("error %v, %d bytes", err, n)
		case err != nil:
		case n == 0 && len(in) >= messageMost:
			t.Fatal("the longest message is here, and more is awaited")
		case n > len(in):
			t.Fatalf("%d bytes of %d", n, len(in))
		case n > 0:
			again, k, err := parseMessage(m.append(nil))
			if err != nil || again != m || k > n {
				t.Fatalf("%+v written and read: %+v, %d, %v", m, again, k, err)
			}
		}
	})
}

func FuzzFrame(f *testing.F) {
	for _, b := range [][]byte{{frameData, 0, 0, 1}, {frameData, 0, 0xff, 0xfc}, {frameData, 0, 0xff, 0xfd}, {frameData, 0, 0, 0}, {frameEnd, 0, 0, 0}, {frameGone, 0, 0, 0}, {frameForsaken, 0, 0, 0}, {frameForsaken + 1, 0, 0, 0}, {frameEnd, 0, 0, 1}, {0, 0, 0, 0}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < frameHeader {
			return
		}
		kind, size, err := parseFrame([frameHeader]byte(in))
		if err != nil {
			if !errors.Is(err, errFrame) || size != 0 {
				t.Fatalf("%d, %v", size, err)
			}
			return
		}
		if (kind == frameData) != (size > 0) || size > frameMost {
			t.Fatalf("kind %d with %d bytes", kind, size)
		}
		var out [frameHeader]byte
		putFrame(out[:], kind, size)
		if !bytes.Equal(out[:], in[:frameHeader]) {
			t.Fatalf("%x written again is %x", in[:frameHeader], out)
		}
	})
}
