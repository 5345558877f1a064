package fabric

import (
	"io"
	"net"
	"sync"
)

// Splice copies both ways until both ends have said that they are done or one of them fails, then closes
// both. The end of one direction is passed on (CloseWrite) while the other goes on. Between two TCP
// connections of the system the bytes don't leave the kernel. Closing either connection ends it.
func Splice(a, b net.Conn) (fromA, fromB int64) {
	closeBoth := sync.OnceFunc(func() {
		_ = a.Close()
		_ = b.Close()
	})
	defer closeBoth()
	way := func(dst, src net.Conn, n *int64) {
		var err error
		if *n, err = io.Copy(dst, src); err == nil {
			err = CloseWrite(dst)
		}
		if err != nil {
			closeBoth() // half a stream is of no use
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { way(b, a, &fromA) })
	way(a, b, &fromB)
	wg.Wait()
	return fromA, fromB
}

// CloseWrite ends one direction; a connection that can't do that is closed whole.
func CloseWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return c.Close()
}
