package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Container is what an engine says of one of its containers.
type Container struct {
	ID          string
	Name        string
	Labels      map[string]string
	NetworkMode string
	Networks    map[string]Network // by name
	Ports       []Port             // that it exposes
	Gone        bool               // it does not run any more, since a moment ago
}

// Network is a container's addresses in a network.
type Network struct{ IPv4, IPv6 string }

// Port is a port that a container exposes, and where its machine publishes it.
type Port struct {
	IP      string
	Private int
	Public  int // 0: not published
	Type    string
}

// Bounds of what is taken from an engine.
const (
	maxAnswer     = 16 << 20 // bytes
	maxContainers = 5000
	callTime      = 15 * time.Second
)

// newest is the version of the engine's API that this reader was written for. What it reads has been there since 1.24.
var newest = apiVersion{1, 47}

// engine is one engine's API at its socket. Nothing but GET is ever sent.
type engine struct {
	client  *http.Client
	socket  string
	version apiVersion
	podman  bool
	ports   map[string][]Port // of Podman's containers, by id, that were asked about
	id      string            // whose containers they are: of two engines it differs
}

// dialSocket connects to a socket.
type dialSocket func(ctx context.Context, path string) (net.Conn, error)

func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

func newEngine(socket string, dial dialSocket) *engine {
	to := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, socket) }
	return &engine{socket: socket, client: &http.Client{
		Transport:     &http.Transport{DialContext: to, DisableCompression: true, ResponseHeaderTimeout: callTime, MaxResponseHeaderBytes: 1 << 16},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (e *engine) close() { e.client.CloseIdleConnections() }

// get sends a request; the caller closes what it gives.
func (e *engine) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r, err := e.client.Do(req)
	if err != nil {
		var about *url.Error
		if errors.As(err, &about) {
			err = about.Err // the socket is named by who reports it
		}
		return nil, explain(err, e.socket)
	}
	if r.StatusCode != http.StatusOK {
		defer r.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(r.Body, 512))
		var message struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(said, &message) == nil && message.Message != "" {
			said = []byte(message.Message)
		}
		return nil, fmt.Errorf("GET %s: %s: %s", path, r.Status, clip(strings.TrimSpace(string(said))))
	}
	return r.Body, nil
}

// ask reads one document.
func (e *engine) ask(ctx context.Context, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	body, err := e.get(ctx, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("GET %s: %w", path, err)
	case len(b) > maxAnswer:
		return fmt.Errorf("GET %s: the answer has more than %d MiB", path, maxAnswer>>20)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// meet finds out which version of the API to speak, and who the engine is.
func (e *engine) meet(ctx context.Context) error {
	var v struct {
		APIVersion    string `json:"ApiVersion"`
		MinAPIVersion string
		Components    []struct{ Name string }
	}
	if err := e.ask(ctx, "/version", nil, &v); err != nil {
		return err
	}
	var err error
	if e.version, err = negotiate(v.APIVersion, v.MinAPIVersion); err != nil {
		return err
	}
	var info struct{ ID, Name, DockerRootDir string }
	if err := e.ask(ctx, e.path("/info"), nil, &info); err != nil {
		return err
	}
	for _, c := range v.Components {
		if c.Name == "Podman Engine" { // it draws another id at each call
			e.podman, info.ID = true, "podman "+info.DockerRootDir
		}
	}
	// Machines that were cloned from one image have engines with one id.
	if e.id = clip(info.ID + " at " + info.Name); info.ID == "" {
		return errors.New("the engine does not say who it is")
	}
	return nil
}

func (e *engine) path(p string) string { return "/v" + e.version.String() + p }

// filters is the query of a list or stream of some of what there is.
func filters(by map[string][]string) url.Values {
	b, _ := json.Marshal(by)
	return url.Values{"filters": {string(b)}}
}

// containers lists the running ones that have the label to be looked at.
func (e *engine) containers(ctx context.Context) ([]Container, error) {
	var rows []struct {
		ID              string `json:"Id"`
		Names           []string
		Labels          map[string]string
		HostConfig      struct{ NetworkMode string }
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress, GlobalIPv6Address string }
		}
		Ports []struct {
			IP          string
			PrivatePort int
			PublicPort  int
			Type        string
		}
	}
	if err := e.ask(ctx, e.path("/containers/json"), filters(map[string][]string{"label": {enableLabel}}), &rows); err != nil {
		return nil, err
	}
	if len(rows) > maxContainers {
		return nil, fmt.Errorf("%d containers with the label %s, want %d at most", len(rows), enableLabel, maxContainers)
	}
	var out []Container
	for _, r := range rows {
		if _, asked := r.Labels[enableLabel]; !asked {
			continue // the engine was not able to filter
		}
		c := Container{ID: r.ID, Name: clip(nameOf(r.ID, r.Names)), Labels: r.Labels, NetworkMode: r.HostConfig.NetworkMode, Networks: map[string]Network{}}
		for name, n := range r.NetworkSettings.Networks {
			c.Networks[name] = Network{n.IPAddress, n.GlobalIPv6Address}
		}
		for _, p := range r.Ports {
			c.Ports = append(c.Ports, Port{p.IP, p.PrivatePort, p.PublicPort, p.Type})
		}
		out = append(out, c)
	}
	if e.podman {
		if err := e.exposed(ctx, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nameOf is what people call a container: a name with more slashes is a link's.
func nameOf(id string, names []string) string {
	for _, n := range names {
		if n = strings.TrimPrefix(n, "/"); n != "" && !strings.Contains(n, "/") {
			return n
		}
	}
	return id[:min(len(id), 12)]
}

// changes are the events after which something may be another way, as Docker and as Podman call them.
var changes = []string{"start", "die", "died", "destroy", "remove", "rename", "pause", "unpause", "update", "connect", "disconnect"}

// events calls hint for whatever the engine has to say until that ends. What it says is not read: the list is the truth.
func (e *engine) events(ctx context.Context, ready, hint func()) error {
	body, err := e.get(ctx, e.path("/events"), filters(map[string][]string{"type": {"container", "network"}, "event": changes}))
	if err != nil {
		return err
	}
	defer body.Close()
	ready()
	buf := make([]byte, 4096)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			hint()
		}
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
	}
}

// apiVersion is major and minor.
type apiVersion [2]int

func (v apiVersion) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

func parseVersion(s string) (v apiVersion, err error) {
	if n, err := fmt.Sscanf(s, "%d.%d", &v[0], &v[1]); err != nil || n != 2 || v[0] < 0 || v[1] < 0 {
		return v, fmt.Errorf("%q is no version of an engine's API", clip(s))
	}
	return v, nil
}

// negotiate is the version to speak with an engine that knows those up to one, from another on if that is not "".
func negotiate(most, least string) (apiVersion, error) {
	hi, err := parseVersion(most)
	if err != nil {
		return hi, err
	}
	v := newest
	if slices.Compare(hi[:], v[:]) < 0 {
		v = hi
	}
	if least == "" {
		return v, nil
	}
	lo, err := parseVersion(least)
	if err != nil {
		return lo, err
	}
	if slices.Compare(lo[:], v[:]) > 0 {
		v = lo // it adds fields, and those that are read here have stayed through all versions
	}
	return v, nil
}
