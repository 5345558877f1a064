package fabric

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// stream is what two Datagrams share in tests: a reader with a writer beside it.
type stream struct {
	io.Reader
	io.Writer
}

func TestDatagrams(t *testing.T) {
	var wire bytes.Buffer
	w := NewDatagrams(&wire)
	var want [][]byte
	for _, n := range []int{0, 1, 1472, readAhead - frameHead - 1, readAhead - frameHead, readAhead - frameHead + 1, 65507, MaxDatagram, 3, 0, 0, 40000, 7} {
		b := bytes.Repeat([]byte{byte(n)}, n)
		want = append(want, b)
		if err := w.WritePacket(b); err != nil {
			t.Fatal(err)
		}
	}
	if got := wire.Bytes()[:5]; !bytes.Equal(got, []byte{0, 0, 0, 1, 1}) {
		t.Errorf("on the wire: % x", got)
	}
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader,
	} {
		r := NewDatagrams(stream{cut(bytes.NewReader(wire.Bytes())), nil})
		for i, w := range want {
			if got, err := r.ReadPacket(); err != nil || !bytes.Equal(got, w) {
				t.Fatalf("%s: datagram %d: %d bytes, %v, want %d", name, i, len(got), err, len(w))
			}
		}
		if _, err := r.ReadPacket(); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

func TestDatagramsEndEarly(t *testing.T) {
	for _, size := range []int{1, 5000} {
		whole := AppendDatagram(nil, make([]byte, size))
		for n := range len(whole) {
			want := io.ErrUnexpectedEOF
			if n == 0 {
				want = io.EOF
			}
			if _, err := NewDatagrams(stream{bytes.NewReader(whole[:n]), nil}).ReadPacket(); !errors.Is(err, want) {
				t.Fatalf("%d of %d bytes: %v, want %v", n, len(whole), err, want)
			}
		}
	}
}

// What comes in as frames goes out as the same frames, and whatever comes in ends.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 1, 'x', 0, 0})
	f.Add([]byte{0xff, 0xff, 1})
	f.Add(AppendDatagram(AppendDatagram(nil, make([]byte, 5000)), []byte("tail")))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewDatagrams(stream{bytes.NewReader(in), nil})
		var out []byte
		for {
			b, err := r.ReadPacket()
			if err != nil {
				if err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatal(err)
				}
				if err == io.EOF && len(out) != len(in) {
					t.Fatalf("%d bytes of %d are left over", len(in)-len(out), len(in))
				}
				break
			}
			out = AppendDatagram(out, b)
		}
		if !bytes.HasPrefix(in, out) {
			t.Fatal("what came out is not what went in")
		}
	})
}
