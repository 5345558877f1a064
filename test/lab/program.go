package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// Program gives a program outside any test a lab of its own and takes it down when main returns.
func Program(log io.Writer, main func(l *Lab) error) error {
	p := &program{log: log}
	err := p.try(func() error { return main(New(p)) })
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			p.mu.Unlock()
			return errors.Join(err, p.errs())
		}
		f := p.cleanups[n-1]
		p.cleanups = p.cleanups[:n-1]
		p.mu.Unlock()
		err = errors.Join(err, p.try(func() error { f(); return nil }))
	}
}

// Try turns a failure of what builds the lab into an error. In a test the test fails all the same.
func (l *Lab) Try(f func() error) error {
	if p, ok := l.t.(*program); ok {
		return p.try(f)
	}
	return f()
}

// program is the T of a program.
type program struct {
	log io.Writer

	mu       sync.Mutex // guards the following
	cleanups []func()
	failed   []error
}

type fatal struct{ err error }

func (p *program) try(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case fatal:
			err = r.err
		default:
			panic(r)
		}
	}()
	return f()
}

func (p *program) errs() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.failed...)
}

func (p *program) Helper()                     {}
func (p *program) Fatal(args ...any)           { panic(fatal{errors.New(fmt.Sprint(args...))}) }
func (p *program) Fatalf(f string, a ...any)   { panic(fatal{fmt.Errorf(f, a...)}) }
func (p *program) Failed() bool                { return p.errs() != nil }
func (p *program) Logf(f string, args ...any)  { _, _ = fmt.Fprintf(p.log, f+"\n", args...) }
func (p *program) Errorf(f string, arg ...any) { p.add(fmt.Errorf(f, arg...)) }

func (p *program) add(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(p.failed, err)
}

func (p *program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "wrn-lab-")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
