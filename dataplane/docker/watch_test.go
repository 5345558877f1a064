package docker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/dataplane/docker/dockertest"
	"github.com/warrenedge/warren/shared/bubbletest"
)

// pipes is a listener in memory, so that its connections wait in fake time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	gone  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), gone: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.gone:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.gone) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial() (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.gone:
		return nil, errors.New("connection refused")
	}
}

// rig is a Watcher of a fake engine, in a bubble of synctest.
type rig struct {
	t      *testing.T
	engine http.Handler
	at     *pipes
	stop   func()

	mu   sync.Mutex
	told []Publication
}

func newRig(t *testing.T, engine http.Handler) *rig {
	r := &rig{t: t, engine: engine}
	r.start()
	w := New(Config{Socket: "/run/engine.sock", Grace: 10 * time.Second}, func(p Publication) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told = append(r.told, p)
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	w.dial = func(context.Context, string) (net.Conn, error) {
		r.mu.Lock()
		at := r.at
		r.mu.Unlock()
		return at.dial()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return r
}

func (r *rig) start() {
	r.mu.Lock()
	r.at = newPipes()
	r.mu.Unlock()
	r.stop = dockertest.Serve(r.t, r.at, r.engine)
}

// after lets time go by and returns what was told last.
func (r *rig) after(d time.Duration) Publication {
	r.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.told) == 0 {
		r.t.Fatal("nothing was told")
	}
	return r.told[len(r.told)-1]
}

// asked is names of services and addresses of their targets.
func asked(p Publication) string {
	var out []string
	for _, s := range p.Services {
		for _, t := range s.Targets {
			out = append(out, s.Name+"="+t.Address)
		}
	}
	return strings.Join(out, " ")
}

func (r *rig) want(d time.Duration, want string) {
	r.t.Helper()
	if p := r.after(d); asked(p) != want || p.Trouble != "" {
		r.t.Errorf("published %q (%s), want %q", asked(p), p.Trouble, want)
	}
}

func labelled(name, service, address string) dockertest.Container {
	return dockertest.Container{Name: name, Address: address, Ports: []int{80}, Labels: map[string]string{
		"warren.enable": "true", "warren.service." + service + ".hostname": service + ".example.org",
	}}
}

func TestWatch(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		e := &dockertest.Engine{}
		e.Start(dockertest.Container{Name: "other", Address: "172.17.0.9", Ports: []int{80}})
		web := e.Start(labelled("web-1", "shop", "172.17.0.2"))
		r := newRig(t, e)
		if p := r.after(time.Second); !p.Partial || asked(p) != "shop=172.17.0.2" || p.Engine != "3b5e6f0a at box" {
			t.Errorf("at first: %+v", p)
		}
		if p := r.after(time.Minute); p.Partial {
			t.Error("not all is up after a minute")
		}
		wiki := e.Start(labelled("wiki", "wiki", "172.17.0.3"))
		r.want(time.Second, "shop=172.17.0.2 wiki=172.17.0.3")
		e.Stop(web) // one more second than it takes to look
		r.want(9*time.Second, "shop=172.17.0.2 wiki=172.17.0.3")
		e.Start(labelled("web-1", "shop", "172.17.0.4"))
		r.want(time.Second, "shop=172.17.0.4 wiki=172.17.0.3")
		r.want(time.Minute, "shop=172.17.0.4 wiki=172.17.0.3")
		e.Stop(wiki)
		r.want(11*time.Second, "shop=172.17.0.4")
		if methods, versions := e.Asked(); methods != nil || !cmp.Equal(versions, []string{"v1.47"}) {
			t.Errorf("asked %v, %v", methods, versions)
		}
	})
}

func TestStorm(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		e := &dockertest.Engine{}
		r := newRig(t, e)
		r.after(2 * time.Second)
		before := e.Lists()
		for range 200 { // 20 s of events, 50 each 100 ms
			e.Storm(50)
			time.Sleep(100 * time.Millisecond)
		}
		r.after(time.Second)
		if n := e.Lists() - before; n < 9 || n > 12 {
			t.Errorf("%d lists in 20 s of storm, want one each 2 s", n)
		}
	})
}

func TestEngineAway(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		e := &dockertest.Engine{}
		web := e.Start(labelled("web-1", "shop", "172.17.0.2"))
		r := newRig(t, e)
		r.want(2*time.Minute, "shop=172.17.0.2")
		r.stop()
		if p := r.after(time.Second); !strings.HasPrefix(p.Trouble, "engine at /run/engine.sock: ") || p.Services != nil {
			t.Errorf("without the engine: %+v", p)
		}
		e.Stop(web)
		r.after(time.Hour)
		r.start()
		if p := r.after(11 * time.Second); !p.Partial || p.Trouble != "" { // read again after 10 s at the latest; the grace may be over by then
			t.Errorf("when it came back: %+v", p) // its containers come one after the other: nothing goes
		}
		e.Start(labelled("web-1", "shop", "172.17.0.5"))
		r.want(2*time.Second, "shop=172.17.0.5")
		if p := r.after(2 * time.Minute); p.Partial {
			t.Error("not all is up for good")
		}
	})
}

func TestEventsEnd(t *testing.T) {
	for name, e := range map[string]*dockertest.Engine{"hangs up": {}, "has none": {Mute: true}} {
		t.Run(name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				r := newRig(t, e)
				r.want(time.Minute, "")
				e.HangUp()
				e.Start(labelled("web-1", "shop", "172.17.0.2"))
				r.want(every+time.Second, "shop=172.17.0.2")
			})
		})
	}
}

func TestPodman(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		e := &dockertest.Engine{Podman: true}
		e.Start(labelled("web-1", "shop", "10.88.0.2"))
		r := newRig(t, e)
		first := r.after(2 * time.Second)
		r.stop()
		r.after(time.Minute)
		r.start()
		again := r.after(time.Minute)
		if first.Engine != "podman /var/lib/docker at box" || again.Engine != first.Engine || asked(again) != "shop=10.88.0.2" {
			t.Errorf("%+v, then %+v", first, again)
		}
		// Ports that are not published it tells of single containers alone: each is asked about once a connection.
		if n := e.Inspects(); n != 2 {
			t.Errorf("asked %d times about one container, over two connections", n)
		}
		if _, versions := e.Asked(); !cmp.Equal(versions, []string{"v1.41"}) {
			t.Errorf("spoke %v", versions)
		}
	})
}

func TestBadEngines(t *testing.T) {
	version := `{"ApiVersion":"1.51","MinAPIVersion":"1.24"}`
	for _, tt := range []struct {
		name, version, info, list, want string
	}{
		{"no JSON", "hello", "", "", "GET /version: invalid character"},
		{"no version", `{}`, "", "", `"" is no version of an engine's API`},
		{"no name", version, `{}`, "", "the engine does not say who it is"},
		{"an error", version, `{"ID":"x"}`, "", "GET /v1.47/containers/json: 500 Internal Server Error: broken"},
		{"a huge list", version, `{"ID":"x"}`, "[" + strings.Repeat(`{"Names":["/`+strings.Repeat("x", 1<<20)+`"]},`, 17), "GET /v1.47/containers/json: the answer has more than 16 MiB"},
		{"many containers", version, `{"ID":"x"}`, "[" + strings.Repeat(`{},`, maxContainers) + "{}]", "5001 containers with the label warren.enable, want 5000 at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubbletest.Run(t, func(t *testing.T) {
				r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					say := map[string]string{"/version": tt.version, "/v1.47/info": tt.info, "/v1.47/containers/json": tt.list}[r.URL.Path]
					if say == "" {
						w.WriteHeader(500)
						say = `{"message":"broken"}`
					}
					_, _ = w.Write([]byte(say))
				}))
				if p := r.after(time.Millisecond); !strings.HasPrefix(p.Trouble, "engine at /run/engine.sock: "+tt.want) || len(p.Trouble) > 300 {
					t.Errorf("%q, want %q", p.Trouble, tt.want)
				}
			})
		})
	}
}

func TestNegotiate(t *testing.T) {
	for _, tt := range []struct{ most, least, want string }{
		{"1.41", "1.24", "1.41"},
		{"1.47", "", "1.47"},
		{"1.60", "1.44", "1.47"},
		{"1.60", "1.50", "1.50"},
		{"2.0", "1.24", "1.47"},
	} {
		if v, err := negotiate(tt.most, tt.least); err != nil || v.String() != tt.want {
			t.Errorf("%s to %s: %v, %v, want %s", tt.least, tt.most, v, err, tt.want)
		}
	}
	for _, bad := range []string{"", "1", "x.y", "-1.2"} {
		if _, err := negotiate(bad, ""); err == nil {
			t.Errorf("%q is a version", bad)
		}
	}
}

// A real socket, as all else here is in memory.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	engine := &dockertest.Engine{}
	engine.Start(labelled("web-1", "shop", "172.17.0.2"))
	dockertest.Serve(t, l, engine)
	e := newEngine(path, dialUnix)
	defer e.close()
	if err := e.meet(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := e.containers(t.Context()); err != nil || len(list) != 1 || list[0].Name != "web-1" {
		t.Errorf("%+v, %v", list, err)
	}
	gone := newEngine(path+"-not", dialUnix)
	defer gone.close()
	if err := gone.meet(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("without a socket: %v", err)
	}
}
