package expose

import (
	"net"
	"testing"
)

// A node that reaches no target closes the connection at once; one whose target waits for words, or speaks first, does not.
func TestOpenIsAConnectionThatStays(t *testing.T) {
	for name, target := range map[string]func(c net.Conn){
		"waits": func(net.Conn) {}, "speaks": func(c net.Conn) { _, _ = c.Write([]byte("220 hello\r\n")) }, "closes": func(c net.Conn) { _ = c.Close() },
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held := make(chan net.Conn, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				target(c)
				held <- c
			}
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := open(c); (err != nil) != (name == "closes") {
			t.Errorf("%s: %v", name, err)
		}
		_ = (<-held).Close()
		_ = l.Close()
	}
}
