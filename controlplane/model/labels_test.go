package model

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
)

func TestLabels(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, tc := range []struct {
		key, value, field string
	}{
		{"env", "prod", ""},
		{"env", "", ""},
		{"example.org/team", "Platform_1.x", ""},
		{long, long, ""},
		{"", "x", "labels"},
		{long + "a", "x", "labels"},
		{"-env", "x", "labels"},
		{"env.", "x", "labels"},
		{"a b", "x", "labels"},
		{"/env", "x", "labels"},
		{"example.org/", "x", "labels"},
		{"Example.org/env", "x", "labels"},
		{"a/b/c", "x", "labels"},
		{"env", long + "a", "labels.env"},
		{"env", "a=b", "labels.env"},
		{"env", "é", "labels.env"},
	} {
		err := Labels{tc.key: tc.value}.Validate()
		if fe, ok := errors.AsType[*fault.Error](err); ok != (tc.field != "") || ok && fe.Field != tc.field {
			t.Errorf("%q=%q: %v, want a fault of %q", tc.key, tc.value, err, tc.field)
		}
	}
	many := Labels{}
	for i := range maxLabels + 1 {
		many[fmt.Sprint("k", i)] = ""
	}
	if many.Validate() == nil {
		t.Errorf("%d labels are taken", len(many))
	}
}
