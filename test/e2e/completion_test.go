//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warrenedge/warren/test/lab"
)

// shells complete words as their users have them do: each is given what "warren completion" prints, and the words "$@" of which the last
// is to be completed, and prints what it offers.
var shells = map[string][]string{
	"bash": {"bash", "--norc", "--noprofile", "-c", `. /usr/share/bash-completion/bash_completion
source <(warren completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
__start_warren warren "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
printf '%s\n' "${COMPREPLY[@]}"`, "bash"},
	"zsh": {"zsh", "-f", "-c", `autoload -U compinit; compinit -D -u
source <(warren completion zsh)
_describe() { print -l -- ${(M)completions:#${words[CURRENT]}*} }
compadd() { }
words=("$@") CURRENT=$#
_warren`, "zsh"},
	"fish": {"fish", "--no-config", "-c", `warren completion fish | source
complete -C "$argv"`},
}

// Shells complete commands, values of flags, and names of objects, which they ask the control plane for.
func TestShellsComplete(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names := map[string][]string{"/api/v1/nodes": {"fra1", "fra2", "nyc1"}, "/api/v1/orgs/default/sites": {"home", "office"}}[r.URL.Path]
		items := []map[string]string{}
		for _, n := range names {
			items = append(items, map[string]string{"name": n, "id": n})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"items": items})
	}))
	t.Cleanup(srv.Close)
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	for shell, program := range shells {
		for _, tc := range []struct {
			words []string
			want  string
			not   string
		}{
			{[]string{"warren", "node", "dr"}, "drain", "revoke"},
			{[]string{"warren", "node", "drain", "f"}, "fra1 fra2", "nyc1"},
			{[]string{"warren", "get", "sit"}, "sites", "services"},
			{[]string{"warren", "describe", "site", "ho"}, "home", "office"},
			{[]string{"warren", "get", "sites", "-o", "j"}, "json", "yaml"},
			{[]string{"warren", "create", "target", "x", "--site", "of"}, "office", "home"},
			{[]string{"warren", "create", "service", "x", "--kind", "ud"}, "udp", "tcp"},
			{[]string{"warren", "job", "list", "--st"}, "--state", "--kind"},
		} {
			args := append(append([]string(nil), program[1:]...), tc.words...)
			if shell == "fish" {
				args = append(append([]string(nil), program[1:]...), strings.Join(tc.words, " "))
			}
			lab.Eventually(t, patience, fmt.Sprintf("%s completes %q", shell, tc.words), func() error { // names are waited for no longer than people do
				cmd := exec.Command(program[0], args...)
				cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+home, "XDG_CONFIG_HOME="+home, "WARREN_SERVER="+srv.URL, "WARREN_API_KEY=wrn_key_x")
				out, err := cmd.CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				if strings.Contains(string(out), tc.not) {
					t.Errorf("%s offers %q for %q", shell, out, tc.words)
				}
				for _, want := range strings.Fields(tc.want) {
					if !strings.Contains(string(out), want) {
						return fmt.Errorf("it offers %q, not %q", out, want)
					}
				}
				return nil
			})
		}
	}
}
