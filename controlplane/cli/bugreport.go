package cli

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/netcheck"
	"github.com/warrenedge/warren/shared/version"
)

// Bounds of a report.
const (
	bugreportTime = time.Minute
	eachTime      = 15 * time.Second
	maxPart       = 16 << 20
	logLines      = "5000"
)

func (a *app) bugreportCommand() *cobra.Command {
	var file string
	var metrics []string
	cmd := &cobra.Command{
		Use: "bugreport", Short: "Collect what helps to find a fault in one file, without secrets", Args: cobra.NoArgs,
		Long: "Collect what helps to find a fault in one tar.gz: versions, status, what each node should hold and does, services and their hops, the\n" +
			"output of doctor and netcheck, and of this machine the logs of Warren's programs, their metrics, profiles and a second's trace, as far\n" +
			"as they are reached (--metrics: one URL for each program).\n" +
			"Private keys, tokens and passwords are left out; names, addresses and hostnames are in it. What could not be had is in errors.txt.",
		Example: "  warren bugreport -f report.tar.gz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				file = "warren-bugreport-" + time.Now().UTC().Format("20060102-150405") + ".tar.gz"
			}
			s, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), bugreportTime)
			defer cancel()
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			b := &bundle{ctx: ctx, prefix: "warren-bugreport/"}
			a.collect(b, s, metrics)
			err = b.write(f)
			if cerr := f.Close(); err == nil {
				err = cerr
			}
			if err == nil {
				a.say("%s: %d files, look through it before you give it away", file, len(b.parts))
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "`file` to write, which must not be there (default warren-bugreport-TIME.tar.gz)")
	cmd.Flags().StringSliceVar(&metrics, "metrics", []string{"http://127.0.0.1:9090/metrics"}, "`URL` of metrics that are reached from here; profiles are taken beside them")
	return cmd
}

// bundle is the parts of a report.
type bundle struct {
	ctx    context.Context
	prefix string
	parts  []bundlePart
	errors []byte
}

type bundlePart struct {
	name string
	text []byte
}

// add takes a part, or why there is none. Secrets do not get further than here.
func (b *bundle) add(name string, text []byte, err error) {
	if err != nil {
		b.errors = append(b.errors, redact(fmt.Appendf(nil, "%s: %v\n", name, err))...)
		return
	}
	b.parts = append(b.parts, bundlePart{name, redact(text[:min(len(text), maxPart)])})
}

func (b *bundle) json(name string, v any, err error) {
	var text []byte
	if err == nil {
		text, err = json.MarshalIndent(v, "", "  ")
	}
	b.add(name, text, err)
}

func (a *app) collect(b *bundle, s *session, metrics []string) {
	b.json("version.json", map[string]string{"version": version.Version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "at": time.Now().UTC().Format(time.RFC3339)}, nil)
	b.fetch("status.json", asked(s.api.Status))
	b.fetch("diagnosis.json", asked(s.api.GetDiagnosis))
	b.fetch("snapshots.json", asked(s.api.ListSnapshots))
	for _, kind := range []string{"sites", "connectors", "services", "targets", "domains", "managed-certificates"} {
		items, err := s.api.Objects(kind, s.org).List(b.ctx, typed.Listing{})
		b.json(kind+".json", items, err)
	}
	nodes, err := s.edges(b.ctx, "")
	b.json("nodes.json", nodes, err)
	for _, n := range nodes {
		b.fetch("snapshots/"+n.Name+".json", asked(func(ctx context.Context) (typed.SnapshotAnswerBody, apiclient.Written, error) {
			return s.api.GetSnapshot(ctx, n.Name)
		}))
	}
	b.json("doctor.json", a.diagnose(b.ctx), nil)
	b.json("netcheck.json", look(b.ctx, netcheck.Probe{}, nodes), nil)
	for i, at := range metrics {
		text, err := b.page(at)
		b.add(fmt.Sprintf("metrics/%d.txt", i+1), text, err)
		for _, p := range profiles {
			text, err := b.page(strings.TrimSuffix(at, "/metrics") + "/debug/pprof/" + p.path)
			b.add(fmt.Sprintf("profiles/%d-%s", i+1, p.name), text, err)
		}
	}
	for _, unit := range []string{"warren-control", "warren-node", "warren-connector"} {
		text, err := b.journal(unit)
		b.add("logs/"+unit+".log", text, err)
	}
}

// profiles are what a program says of itself beside its metrics, to who is on its machine: what its goroutines do, what its memory
// is for, and what it did for a second.
var profiles = []struct{ name, path string }{{"goroutines.txt", "goroutine?debug=2"}, {"heap.txt", "heap?debug=1"}, {"trace.out", "trace?seconds=1"}}

// fetch adds what a call answers, for which it has a while.
func (b *bundle) fetch(name string, call func(ctx context.Context) (any, error)) {
	ctx, cancel := context.WithTimeout(b.ctx, eachTime)
	defer cancel()
	v, err := call(ctx)
	b.json(name, v, err)
}

// asked is a call whose answer is kept, whatever its type.
func asked[V any](call func(ctx context.Context) (V, apiclient.Written, error)) func(ctx context.Context) (any, error) {
	return func(ctx context.Context) (any, error) {
		v, _, err := call(ctx)
		return v, err
	}
}

// page reads what anybody on this machine may.
func (b *bundle) page(at string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(b.ctx, eachTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxPart))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	return text, err
}

func (b *bundle) journal(unit string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(b.ctx, eachTime)
	defer cancel()
	return exec.CommandContext(ctx, "journalctl", "--no-pager", "-n", logLines, "-u", unit).Output()
}

func (b *bundle) write(w io.Writer) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	parts := b.parts
	if len(b.errors) > 0 {
		parts = append(parts, bundlePart{"errors.txt", b.errors})
	}
	for _, p := range parts {
		if err := t.WriteHeader(&tar.Header{Name: b.prefix + p.name, Mode: 0o600, Size: int64(len(p.text)), ModTime: time.Now()}); err != nil {
			return err
		}
		if _, err := t.Write(p.text); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

// marks is what secrets look like, wherever they are. What comes from the API has none; logs and metrics have none of
// ours, but may quote what others said.
var marks = []struct {
	is  *regexp.Regexp
	put string
}{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----`), "(private key)"},
	{regexp.MustCompile(`\b(wrn|whsec|wjt|warren)_[A-Za-z0-9_+/=.-]{16,}`), "(token)"},
	{regexp.MustCompile(`(?i)\b(bearer|basic) [A-Za-z0-9._~+/=-]{8,}`), "$1 (token)"},
	{regexp.MustCompile(`([a-z][a-z0-9+.-]*://[^/\s:@"]*):[^/\s@"]+@`), "$1:(password)@"},
	{regexp.MustCompile(`(?i)("?\b[a-z_]*(?:password|passwd|secret|token|api_key|hmac_key|private_key)\b"?\s*[=:]\s*)("[^"]*"|[^\s,}"]+)`), `$1"(secret)"`},
}

func redact(text []byte) []byte {
	for _, s := range marks {
		text = s.is.ReplaceAll(text, []byte(s.put))
	}
	return text
}
