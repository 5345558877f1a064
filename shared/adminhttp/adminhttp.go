// Package adminhttp is the listener of a process for its operator: metrics, health, readiness, profiles.
package adminhttp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Server serves /metrics, /healthz, /readyz and, to callers on the same machine, /debug/pprof/: a profile costs CPU and
// tells what memory holds. It has no authentication: listen on loopback or on a network of operators.
type Server struct {
	addr  string
	ready func() error
	reg   *prometheus.Registry
}

// New makes a Server. ready returns why the process is not ready, nil if it is.
func New(addr string, ready func() error, reg *prometheus.Registry) *Server {
	return &Server{addr, ready, reg}
}

// split takes apart where to listen: host:port, or "unix:" and the path of a socket.
func split(addr string) (network, at string) {
	if path, is := strings.CutPrefix(addr, "unix:"); is {
		return "unix", path
	}
	return "tcp", addr
}

// String names the task.
func (s *Server) String() string { return "admin listener" }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /debug/pprof/", local(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/profile", local(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", local(pprof.Trace))
	network, at := split(s.addr)
	if network == "unix" {
		_ = os.Remove(at) // of one that was killed
	}
	l, err := net.Listen(network, at)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// local answers callers on the same machine only.
func local(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !from.Addr().Unmap().IsLoopback() {
			http.Error(w, "profiles are for callers on the same machine, over a loopback address", http.StatusForbidden)
			return
		}
		h(w, r)
	}
}
