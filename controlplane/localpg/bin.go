package localpg

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrMissing is wrapped when no usable PostgreSQL is installed. The message names the package.
var ErrMissing = errors.New("no usable PostgreSQL is installed")

// distribution is where Debian and its relatives keep the versions side by side.
const distribution = "/usr/lib/postgresql/*/bin"

// findBin returns the folder of the server's programs: the configured one, else the newest of the
// distribution, else the one in PATH. Data that exists is only readable by its own major version.
func findBin(configured, data string) (string, error) {
	need := 0
	if b, err := os.ReadFile(filepath.Join(data, "PG_VERSION")); err == nil {
		if need, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
			return "", fmt.Errorf("version of the data in %s: %w", data, err)
		}
	}
	var dirs []string
	if configured != "" {
		dirs = []string{configured}
	} else {
		dirs, _ = filepath.Glob(distribution)
		slices.SortFunc(dirs, func(a, b string) int { return versionInPath(b) - versionInPath(a) })
		if p, err := exec.LookPath("postgres"); err == nil {
			if p, err = filepath.EvalSymlinks(p); err == nil {
				dirs = append(dirs, filepath.Dir(p))
			}
		}
	}
	var why []string
	for _, d := range dirs {
		v, err := version(d)
		switch {
		case err != nil:
			why = append(why, err.Error())
		case v < MinVersion:
			why = append(why, fmt.Sprintf("%s is version %d, want %d or newer", d, v, MinVersion))
		case need != 0 && v != need:
			why = append(why, fmt.Sprintf("%s is version %d, the data in %s is of version %d", d, v, data, need))
		default:
			return d, nil
		}
	}
	pkg := "postgresql"
	if need != 0 {
		pkg = fmt.Sprintf("postgresql-%d", need)
	}
	if len(why) == 0 {
		why = []string{fmt.Sprintf("nothing in %s or PATH", distribution)}
	}
	return "", fmt.Errorf("%w (%s): apt-get install %s", ErrMissing, strings.Join(why, "; "), pkg)
}

func versionInPath(dir string) int {
	v, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return v
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) ([0-9]+)`)

// version is the major version of the programs in a folder.
func version(dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, fmt.Errorf("no initdb in %s", dir)
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("no usable postgres in %s: %w", dir, err)
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("%s/postgres has the version %q", dir, strings.TrimSpace(string(out)))
	}
	return strconv.Atoi(string(m[1]))
}
