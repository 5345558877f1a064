// Package dockertest is a container engine's API as far as package docker asks for it.
package dockertest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Container is one that runs.
type Container struct {
	Name    string
	Labels  map[string]string
	Address string // in the network "bridge"; "": it has the network of its machine
	Ports   []int  // TCP ports that it exposes
}

// Engine is an engine without containers. The zero Engine is Docker's.
type Engine struct {
	Podman bool // it calls itself Podman, draws an id at each call, and says "host" of each container's network, and lists no port that is not published
	Mute   bool // it has no events

	mu         sync.Mutex
	containers map[string]Container // by id
	started    int
	listeners  map[chan string]bool
	lists      int
	inspects   int
	methods    []string // that were asked, other than GET
	versions   map[string]bool
}

// Start runs a container and returns its id.
func (e *Engine) Start(c Container) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.started++
	id := fmt.Sprintf("%064x", e.started)
	if e.containers == nil {
		e.containers = map[string]Container{}
	}
	e.containers[id] = c
	e.tell("start", id)
	return id
}

// Stop ends a container.
func (e *Engine) Stop(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.containers, id)
	e.tell("die", id)
}

// Storm tells of many events of nothing.
func (e *Engine) Storm(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range n {
		e.tell("update", "x")
	}
}

// tell needs the lock. Who does not listen for long misses some.
func (e *Engine) tell(what, id string) {
	for l := range e.listeners {
		select {
		case l <- fmt.Sprintf(`{"Type":"container","Action":%q,"Actor":{"ID":%q}}`+"\n", what, id):
		default:
		}
	}
}

// Hang up ends all streams of events, as an engine does that restarts.
func (e *Engine) HangUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l := range e.listeners {
		close(l)
		delete(e.listeners, l)
	}
}

// Lists is how often the containers were listed.
func (e *Engine) Lists() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lists
}

// Asked is what was asked by other methods than GET, and the versions of the API that were spoken, sorted.
func (e *Engine) Asked() (methods, versions []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.methods), slices.Sorted(maps.Keys(e.versions))
}

var versioned = regexp.MustCompile(`^/(v1\.\d+)(/.*)$`)

// ServeHTTP implements http.Handler.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	e.mu.Lock()
	if r.Method != http.MethodGet {
		e.methods = append(e.methods, r.Method+" "+path)
	}
	if m := versioned.FindStringSubmatch(path); m != nil {
		if e.versions == nil {
			e.versions = map[string]bool{}
		}
		e.versions[m[1]], path = true, m[2]
	}
	e.mu.Unlock()
	switch path {
	case "/version":
		e.version(w)
	case "/info":
		e.info(w)
	case "/containers/json":
		e.list(w, r)
	case "/events":
		e.events(w, r)
	default:
		if m := inspected.FindStringSubmatch(path); m != nil && e.inspect(w, m[1]) {
			return
		}
		w.WriteHeader(http.StatusNotFound)
		answer(w, map[string]string{"message": "page not found"})
	}
}

var inspected = regexp.MustCompile(`^/containers/([0-9a-f]+)/json$`)

// inspect reports whether there is such a container.
func (e *Engine) inspect(w http.ResponseWriter, id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, there := e.containers[id]
	if !there {
		return false
	}
	e.inspects++
	ports := map[string]any{}
	for _, p := range c.Ports {
		ports[fmt.Sprintf("%d/tcp", p)] = struct{}{}
	}
	answer(w, map[string]any{"Id": id, "Config": map[string]any{"ExposedPorts": ports}})
	return true
}

// Inspects is how often single containers were asked about.
func (e *Engine) Inspects() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.inspects
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func (e *Engine) version(w http.ResponseWriter) {
	name, most := "Engine", "1.51"
	if e.Podman {
		name, most = "Podman Engine", "1.41"
	}
	answer(w, map[string]any{"ApiVersion": most, "MinAPIVersion": "1.24", "Components": []any{map[string]string{"Name": name}}})
}

func (e *Engine) info(w http.ResponseWriter) {
	id := "3b5e6f0a"
	if e.Podman {
		e.mu.Lock()
		e.started++
		id = fmt.Sprint(e.started)
		e.mu.Unlock()
	}
	answer(w, map[string]string{"ID": id, "Name": "box", "DockerRootDir": "/var/lib/docker"})
}

func (e *Engine) list(w http.ResponseWriter, r *http.Request) {
	var filters struct{ Label []string }
	if err := json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		answer(w, map[string]string{"message": "invalid filter: " + err.Error()})
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lists++
	out := []any{}
	for id, c := range e.containers {
		if slices.ContainsFunc(filters.Label, func(l string) bool { _, has := c.Labels[l]; return !has }) {
			continue
		}
		mode, networks := "default", map[string]any{"bridge": map[string]string{"IPAddress": c.Address, "GlobalIPv6Address": ""}}
		if c.Address == "" {
			networks = map[string]any{"host": map[string]string{"IPAddress": ""}}
		}
		if c.Address == "" || e.Podman {
			mode = "host"
		}
		var ports []any
		for _, p := range c.Ports {
			if e.Podman {
				break
			}
			ports = append(ports, map[string]any{"PrivatePort": p, "Type": "tcp"})
		}
		out = append(out, map[string]any{
			"Id": id, "Names": []string{"/" + c.Name}, "Labels": c.Labels, "Ports": ports,
			"HostConfig": map[string]string{"NetworkMode": mode}, "NetworkSettings": map[string]any{"Networks": networks},
		})
	}
	answer(w, out)
}

func (e *Engine) events(w http.ResponseWriter, r *http.Request) {
	if e.Mute {
		w.WriteHeader(http.StatusInternalServerError)
		answer(w, map[string]string{"message": "no events backend"})
		return
	}
	if strings.Contains(r.URL.Query().Get("filters"), `"label"`) {
		w.WriteHeader(http.StatusBadRequest) // Podman's have no labels when a container has ended
		return
	}
	l := make(chan string, 64)
	e.mu.Lock()
	if e.listeners == nil {
		e.listeners = map[chan string]bool{}
	}
	e.listeners[l] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.listeners, l)
	}()
	c := http.NewResponseController(w)
	_ = c.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case line, goes := <-l:
			if !goes {
				return
			}
			if _, err := w.Write([]byte(line)); err != nil {
				return
			}
			_ = c.Flush()
		}
	}
}

// Serve serves the engine at a listener until the test ends or the function is called that it returns.
func Serve(t testing.TB, l net.Listener, h http.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	srv := &http.Server{Handler: h, BaseContext: func(net.Listener) context.Context { return ctx }} //nolint:gosec // its client is ours
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			_ = srv.Close()
			<-done
		})
	}
	t.Cleanup(stop)
	return stop
}
