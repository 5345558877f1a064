package porttest

import (
	"net"
	"strconv"
	"testing"
)

func TestFree(t *testing.T) {
	a := Free(t, 3)
	taken, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(a)+4)))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if b := Free(t, 2); b < a+3 || b == a+3 || b == a+4 {
		t.Errorf("ports from %d after three from %d, of which the fifth is taken", b, a)
	}
	l, err := net.Listen("tcp", Address(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}
