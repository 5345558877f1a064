package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Tests make their bubbles by bubbletest, which says why: the race detector crashes in those of synctest itself.
func TestBubblesSurviveTheRaceDetector(t *testing.T) {
	own := filepath.Join("..", "..", "shared", "bubbletest", "bubbletest.go")
	met := false
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		b, err := os.ReadFile(path)
		switch direct := strings.Contains(string(b), "synctest."+"Test("); {
		case direct && path == own:
			met = true
		case direct:
			t.Errorf("%s: call bubbletest.Run instead", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !met {
		t.Errorf("%s makes no bubble: this test looks at nothing", own)
	}
}
