package rest

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

func TestDescriptionIsCurrent(t *testing.T) {
	for name, describe := range map[string]func() ([]byte, error){"openapi.yaml": Describe, "manifests.yaml": DescribeManifests, "paths.txt": DescribePaths} {
		want, err := describe()
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile("../../api/rest/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("api/rest/%s is not what the routes say: run make generate", name)
		}
		if m := regexp.MustCompile(`(?m): [0-9.]+e[+-]?[0-9]+$`).Find(have); m != nil {
			t.Errorf("api/rest/%s has a number that readers of YAML take for text%s", name, m)
		}
		again, err := describe()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, want) {
			t.Errorf("two descriptions of the same routes differ: %s", name)
		}
	}
}
