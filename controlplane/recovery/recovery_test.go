package recovery

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestHTTP(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer HTTP(logger, r, func() { w.WriteHeader(http.StatusInternalServerError) })
		switch r.URL.Path {
		case "/panic":
			panic("the cause")
		case "/abort":
			_, _ = io.WriteString(w, "a part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	defer srv.Close()
	get := func(path string) (int, error) {
		res, err := http.Get(srv.URL + path) //nolint:noctx // our own
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
		return res.StatusCode, err
	}
	if code, err := get("/"); code != http.StatusOK || err != nil || log.Len() > 0 {
		t.Errorf("%d, %v, log %s", code, err, log.String())
	}
	if _, err := get("/abort"); !errors.Is(err, io.ErrUnexpectedEOF) || log.Len() > 0 {
		t.Errorf("an answer that was cut reads as whole: %v, log %s", err, log.String())
	}
	if code, err := get("/panic"); code != http.StatusInternalServerError || err != nil || !strings.Contains(log.String(), "the cause") || !strings.Contains(log.String(), "recovery_test.go") {
		t.Errorf("%d, %v, log %s", code, err, log.String())
	}
}

func TestRPC(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	_, err := Unary(log)(context.Background(), nil, &grpc.UnaryServerInfo{FullMethod: "/x"}, func(context.Context, any) (any, error) { panic("x") })
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "panic") {
		t.Errorf("unary: %v", err)
	}
	err = Stream(log)(nil, nil, &grpc.StreamServerInfo{FullMethod: "/x"}, func(any, grpc.ServerStream) error { panic("x") })
	if status.Code(err) != codes.Internal {
		t.Errorf("stream: %v", err)
	}
	own := errors.New("own")
	if err := Stream(log)(nil, nil, &grpc.StreamServerInfo{}, func(any, grpc.ServerStream) error { return own }); !errors.Is(err, own) {
		t.Errorf("an error of the handler's own became %v", err)
	}
}
