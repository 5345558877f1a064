package rest

import (
	"bytes"
	"os"
	"testing"
)

func TestDescriptionIsCurrent(t *testing.T) {
	want, err := Describe()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../../api/rest/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("api/rest/openapi.yaml is not what the routes say: run make generate")
	}
	again, err := Describe()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, want) {
		t.Error("two descriptions of the same routes differ")
	}
}
