package fabric

import (
	"net"
	"sync"
)

// A stream inside the tunnel between two nodes is a connection of TCP and no more. Where the asking node keeps it, and
// both know how, what comes from the relay is framed like datagrams, so that a word fits in between: an empty frame says
// that whom the stream leads through is silent. What goes to the relay is as it is.

// teller is the relay's end of such a stream.
type teller struct {
	net.Conn
	due chan struct{} // holds one: the word is to be said

	mu    sync.Mutex
	ended bool // guarded by mu
}

var _ Forsaker = (*teller)(nil)

func newTeller(c net.Conn) *teller { return &teller{Conn: c, due: make(chan struct{}, 1)} }

// tell says words until the result is called, which closes the connection.
func (t *teller) tell() (end func()) {
	done := make(chan struct{})
	var words sync.WaitGroup
	words.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-t.due:
				t.say()
			}
		}
	})
	return func() {
		_ = t.Conn.Close() // a word may wait behind what is not read
		close(done)
		words.Wait()
	}
}

func (t *teller) say() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended {
		_ = t.sendLocked(nil)
	}
}

// Forsake implements Forsaker.
func (t *teller) Forsake() {
	select {
	case t.due <- struct{}{}:
	default:
	}
}

// Write sends frames.
func (t *teller) Write(p []byte) (total int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(p) > 0 {
		n := min(len(p), MaxDatagram)
		if err := t.sendLocked(p[:n]); err != nil {
			return total, err
		}
		total, p = total+n, p[n:]
	}
	return total, nil
}

func (t *teller) sendLocked(b []byte) error {
	f := frames.Get().(*[]byte)
	defer frames.Put(f)
	_, err := t.Conn.Write(AppendDatagram((*f)[:0], b))
	return err
}

// CloseWrite ends one direction.
func (t *teller) CloseWrite() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	return CloseWrite(t.Conn)
}

// told is the asker's end.
type told struct {
	net.Conn
	Forsaken

	reading sync.Mutex
	frames  *Datagrams // guarded by reading
	rest    []byte     // guarded by reading; of the frame in progress
}

var _ Forsakable = (*told)(nil)

func newTold(c net.Conn) *told { return &told{Conn: c, frames: NewDatagrams(c)} }

// Read reads what frames hold, and takes the words between them.
func (t *told) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.reading.Lock()
	defer t.reading.Unlock()
	for len(t.rest) == 0 {
		frame, err := t.frames.ReadPacket()
		if err != nil {
			return 0, err
		}
		if len(frame) == 0 {
			t.Note()
		}
		t.rest = frame
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// CloseWrite ends one direction.
func (t *told) CloseWrite() error { return CloseWrite(t.Conn) }
