package acme

import (
	"errors"
	"fmt"
	"testing"
)

func TestLabelsAreFew(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{&Problem{Type: rateLimited}, "rateLimited"},
		{fmt.Errorf("order: %w", &Problem{Type: unauthorized}), "unauthorized"},
		{&Problem{Type: namespace + "caa"}, "caa"},
		{&Problem{Type: "caa"}, "other"},
		{&Problem{Type: namespace + "invented"}, "other"},
		{&Problem{Status: 502}, "other"},
		{errors.New("EOF"), "network"},
	} {
		if got := Label(tc.err); got != tc.want {
			t.Errorf("%v: %q, want %q", tc.err, got, tc.want)
		}
	}
}
