package liveness

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestMessage(t *testing.T) {
	for _, m := range []message{
		{kind: ask, epoch: 1, seq: 2},
		{kind: answer, epoch: 1<<32 - 1, seq: 1<<32 - 1, ackEpoch: 1<<32 - 1, ack: 1<<32 - 1, held: (1<<32 - 1) * time.Microsecond},
	} {
		b := m.append(nil)
		if len(b) != messageSize {
			t.Errorf("%d bytes", len(b))
		}
		for _, padded := range [][]byte{b, append(b, make([]byte, 1300)...)} {
			if got, err := parse(padded); err != nil || got != m {
				t.Errorf("%+v, %v, want %+v", got, err, m)
			}
		}
	}
	if b := (message{kind: ask, held: -time.Second}).append(nil); !bytes.Equal(b[20:], make([]byte, 4)) {
		t.Errorf("a time before now is written as %x", b[20:])
	}
}

func TestMessageRefused(t *testing.T) {
	good := message{kind: ask, epoch: 1, seq: 2}.append(nil)
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, errShort},
		{"one byte less", good[:messageSize-1], errShort},
		{"version 2", append([]byte{2}, good[1:]...), errVersion},
		{"kind 0", append([]byte{1, 0}, good[2:]...), errKind},
		{"kind 5", append([]byte{1, 5}, good[2:]...), errKind},
	} {
		if _, err := parse(tt.in); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// Whatever is read is written as it was, and no sequence of messages breaks a path.
func FuzzMessages(f *testing.F) {
	f.Add(message{kind: ask, epoch: 1, seq: 2}.append(nil))
	f.Add(append(message{kind: answer, epoch: 1, seq: 2, ackEpoch: 7, ack: 1, held: time.Second}.append(nil), message{kind: ask, epoch: 3, seq: 1, ackEpoch: 7, ack: 2}.append(nil)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		const epoch = 7
		p := newPath(Peer{ID: "a"})
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for range min(len(b)/messageSize+1, 300) {
			p.ask(epoch, now)
			m, err := parse(b)
			if err != nil {
				return
			}
			if again := m.append(nil); !bytes.Equal(again[4:], b[4:messageSize]) {
				t.Fatalf("%x read, %x written", b[:messageSize], again)
			}
			reply, ok := p.receive(m, epoch, now)
			if ok && (reply.kind != m.kind+1 || reply.ack != m.seq || reply.ackEpoch != m.epoch) {
				t.Fatalf("%+v answered by %+v", m, reply)
			}
			if len(p.judge.out) > outMost {
				t.Fatalf("%d questions remembered", len(p.judge.out))
			}
			if q := p.judge.Quality(); q.RTT < 0 || q.Loss < 0 || q.Loss > 1 {
				t.Fatalf("%+v", q)
			}
			now = now.Add(m.held % time.Second)
			b = b[messageSize:]
		}
	})
}
