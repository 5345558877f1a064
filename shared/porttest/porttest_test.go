package porttest

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// two processes on one machine, where some ports are open.
func two(open ...int) (a, b *pool) {
	owner, busy := map[int]*pool{}, map[int]bool{}
	for _, p := range open {
		busy[p] = true
	}
	process := func() *pool {
		p := &pool{next: first, held: map[int]*held{}, free: func(port int) bool { return !busy[port] }}
		p.own = func(number int) (func(), error) {
			if owner[number] != nil {
				return nil, errors.New("another's")
			}
			owner[number] = p
			return func() { delete(owner, number) }, nil
		}
		return p
	}
	return process(), process()
}

func TestNobodyIsGivenAnothersPort(t *testing.T) {
	a, b := two(first+1, first+block+3)
	want := func(p *pool, n, want int) {
		t.Helper()
		if got, err := p.take(n); err != nil || got != want {
			t.Errorf("%d ports from %d, %v; want %d", n, got, err, want)
		}
	}
	want(a, 1, first)
	want(a, 2, first+2)           // one is open
	want(b, 2, first+block)       // the first block is a's
	want(b, block, first+block+4) // in a row, behind the one that is open: over two blocks
	want(a, block, first+3*block) // its own block has not so many
	want(a, limit-first-4*block, first+4*block)
	if got, err := a.take(1); err != nil || got != first+4 {
		t.Errorf("at the end, one that was passed over: %d, %v", got, err)
	}
	if got, err := b.take(1); err != nil || got < first+2*block+4 || got >= first+3*block {
		t.Errorf("the other's next is %d, %v", got, err)
	}
	for _, n := range []int{block, limit} {
		if got, err := b.take(n); err == nil {
			t.Errorf("%d ports from %d", n, got)
		}
	}
	a.leave(first+4*block, limit-first-4*block)
	want(b, 7*block, first+4*block) // what was left is everybody's
	a.leave(first, 1)
	a.leave(first+2, 2)
	a.leave(first+4, 1)
	a.leave(first+3*block, block)
	if len(a.held) > 0 {
		t.Errorf("%d blocks are kept", len(a.held))
	}
}

// What a process has is its own as long as it runs, and no longer.
func TestBlocksAreOfOneProcess(t *testing.T) {
	const variable = "PORTTEST_BLOCK"
	if text := os.Getenv(variable); text != "" {
		number, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := own(number); err != nil {
			t.Fatal(err)
		}
		return
	}
	other := func(number int) (said string, err error) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestBlocksAreOfOneProcess$")
		cmd.Env = append(os.Environ(), variable+"="+strconv.Itoa(number))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	number := -os.Getpid() // nobody has ports there
	for range 2 {          // a process that has ended keeps nothing
		if said, err := other(number); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	end, err := own(number)
	if err != nil {
		t.Fatal(err)
	}
	if said, err := other(number); err == nil || !strings.Contains(said, "address already in use") {
		t.Errorf("two have it: %v: %s", err, said)
	}
	end()
	if said, err := other(number); err != nil {
		t.Errorf("after it was let go: %v: %s", err, said)
	}
}

func TestFree(t *testing.T) {
	a, b := Free(t, 3), Free(t, 2)
	if b >= a && b < a+3 || a >= b && a < b+2 {
		t.Errorf("three from %d and two from %d", a, b)
	}
	l, err := net.Listen("tcp", Address(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if free(l.Addr().(*net.TCPAddr).Port) {
		t.Error("a port that is open is free")
	}
}
