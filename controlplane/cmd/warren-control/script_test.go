package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/warrenedge/warren/controlplane/apiclient"
	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/cli"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/mail/mailtest"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/porttest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const scripts = "testdata/script"

// replica is a control plane, as it is started in earnest, on a database of its own.
type replica struct {
	url, home, keyFile string // home: where people sign in
	api                typed.Client
	db                 *store.Store
}

func startReplica(t *testing.T) *replica {
	t.Helper()
	dir := t.TempDir()
	kek, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	kekFile, r := filepath.Join(dir, "kek.json"), &replica{keyFile: filepath.Join(dir, "api.key")}
	if err := os.WriteFile(kekFile, kek, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = config.Listen{API: porttest.Address(t), Push: porttest.Address(t)}
	r.url = "http://" + cfg.Listen.API
	_, port, err := net.SplitHostPort(cfg.Listen.API)
	if err != nil {
		t.Fatal(err)
	}
	r.home = "http://localhost:" + port
	dsn := storetest.DSN(t)
	r.db = storetest.Open(t, dsn)
	cfg.DatabaseURL, cfg.KEKFile, cfg.BootstrapKeyFile = config.Secret(dsn), kekFile, r.keyFile
	cfg.URL, cfg.SetupTokenFile, cfg.OutboundNetworks = r.home, filepath.Join(dir, "setup.url"), []string{"127.0.0.0/8"}
	cfg.Mail = config.Mail{Server: mailtest.Start(t).Addr, Security: string(mail.Plain), From: "Warren <warren@example.org>"}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, cfg, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the control plane ended with %v", err)
		}
	})
	for {
		res, err := http.Get(r.url + "/readyz") //nolint:gosec,noctx // our own
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case err := <-ended:
			ended <- nil
			t.Fatalf("the control plane did not start: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	key, err := os.ReadFile(r.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := apiclient.New(apiclient.Options{Server: r.url, Key: string(key)})
	if err != nil {
		t.Fatal(err)
	}
	r.api = typed.New(transport)
	return r
}

// TestScripts runs the command line against a real control plane. Each script has an organization of its own, whose name is
// its own as well: $ORG. Beside what package testscript has there are
//
//	warren CODE ARG... [< FILE]           call it; it has to exit so. An ARG that begins with ./ is in the script's folder
//	eventually CODE ARG...                the same, again and again until it exits so
//	until REGEXP ARG... [-- ARG...]       call it until it says so, then end it as Ctrl-C does; meanwhile call the other again and again
//	keep NAME                             make a variable of what was written to standard output
//	certify [left=DAYS] NAME...           write chain.pem and key.pem: a certificate of the names, by an authority of its own; with left, at its end
//	first FIELD NAME                      the same of a field of the first object in a list in JSON
//	person NAME ROLE                      act as a user of the organization from now on, who is signed in in a browser
//	browser PASSWORD                      sign in in the browser once more
//	approved ARG...                       call it, approve the code that it shows in the browser; it has to succeed
//	app NAME                              make a variable of the code of an authenticator app with the secret in standard output
//	passkey NAME PASSWORD                 add a passkey in the browser
//	identity PROVIDER                     be somebody at a provider of identities
//
// $HOOK is where a webhook is taken, and $PASSWORD what people sign in with at first.
func TestScripts(t *testing.T) {
	t.Setenv("WARREN_CONFIG", "")
	t.Setenv("EDITOR", "sed -i s/before/after/")
	r := startReplica(t)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(hook.Close) // after the scripts, which run beside each other
	testscript.Run(t, testscript.Params{
		Dir: scripts, RequireExplicitExec: true, RequireUniqueNames: true, ContinueOnError: true,
		Setup: func(env *testscript.Env) error {
			name := strings.TrimPrefix(filepath.Base(env.WorkDir), "script-")
			env.Setenv("ORG", name)
			env.Setenv("SERVER", r.url)
			env.Setenv("KEY", r.keyFile)
			env.Setenv("HOOK", hook.URL)
			env.Setenv("PASSWORD", passphrase)
			env.Values[personKey{}] = &person{replica: r}
			if _, _, err := r.api.CreateOrganization(context.Background(), typed.CreateOrganizationParams{}, typed.OrganizationBody{Name: name}); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "config.yaml"), fmt.Appendf(nil, "server: %s\napi_key_file: %s\norganization: %s\n", r.url, r.keyFile, name), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"warren": call, "eventually": eventually, "until": until, "keep": keep,
			"first": columnOf, "person": become, "browser": inBrowser, "approved": approved, "app": appCode, "passkey": addPasskey, "identity": addIdentity, "certify": certify},
	})
}

// arguments are those of a call from a script.
func arguments(ts *testscript.TestScript, args []string) []string {
	out := []string{"--config", ts.MkAbs("config.yaml")}
	for _, a := range args {
		if strings.HasPrefix(a, "./") {
			a = ts.MkAbs(a)
		}
		out = append(out, a)
	}
	return out
}

func call(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: warren CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	in, args := "", args[1:]
	if n := len(args); n > 2 && args[n-2] == "<" {
		in, args = ts.ReadFile(args[n-1]), args[:n-2]
	}
	var out, errw bytes.Buffer
	code := cli.Main(arguments(ts, args), strings.NewReader(in), &out, &errw)
	_, _ = ts.Stdout().Write(out.Bytes())
	_, _ = ts.Stderr().Write(errw.Bytes())
	if code != want {
		ts.Fatalf("exit %d, want %d\n%s%s", code, want, &out, &errw)
	}
}

func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually CODE ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		var out, errw bytes.Buffer
		code := cli.Main(arguments(ts, args[1:]), strings.NewReader(""), &out, &errw)
		if code == want {
			_, _ = ts.Stdout().Write(out.Bytes())
			_, _ = ts.Stderr().Write(errw.Bytes())
			return
		}
		if time.Since(begin) > patience {
			ts.Fatalf("exit %d, want %d\n%s%s", code, want, &out, &errw)
		}
	}
}

func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// said collects what a command says, for several readers.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// patience bounds what a script waits for.
const patience = time.Minute

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP ARG... [-- ARG...]")
	}
	words, err := regexp.Compile(args[0])
	ts.Check(err)
	args, again, other := cut(args[1:])
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	out := &said{}
	root := cli.Root(strings.NewReader(""), out, out)
	root.SetArgs(arguments(ts, args))
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	for !words.MatchString(out.String()) {
		select {
		case err := <-ended:
			ts.Fatalf("it ended with %v before it said so:\n%s", err, out)
		case <-time.After(50 * time.Millisecond):
		}
		if other {
			if code := cli.Main(arguments(ts, again), strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}); code != 0 {
				ts.Fatalf("%v: exit %d", again, code)
			}
		}
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		ts.Fatalf("it ended with %v:\n%s", err, out)
	}
}

func cut(args []string) (before, after []string, found bool) {
	for i, a := range args {
		if a == "--" {
			return args[:i], args[i+1:], true
		}
	}
	return args, nil, false
}

// commands yields all that can be called and is shown, by its path.
func commands(c *cobra.Command, yield func(path string, c *cobra.Command)) {
	if c.Hidden {
		return
	}
	if c.Runnable() && !c.HasSubCommands() {
		yield(strings.TrimPrefix(c.CommandPath(), "warren "), c)
	}
	for _, sub := range c.Commands() {
		commands(sub, yield)
	}
}

// clusterScripts are those that take nodes.
const clusterScripts = "../../../test/e2e/testdata/script"

// Every command is called by some script that wants it to succeed, and tells how it is called, to standard output.
func TestEveryCommandHasAScript(t *testing.T) {
	var files []string
	for _, dir := range []string{scripts, clusterScripts} {
		found, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no scripts in %s: %v", dir, err)
		}
		files = append(files, found...)
	}
	called := regexp.MustCompile(`(?m)^(?:(?:warren|eventually) 0|until (?:'[^']*'|\S+)|approved) (.*)$`)
	var calls []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range called.FindAllStringSubmatch(string(b), -1) {
			calls = append(calls, m[1]+" ")
		}
	}
	commands(cli.Root(os.Stdin, &bytes.Buffer{}, &bytes.Buffer{}), func(path string, _ *cobra.Command) {
		found := false
		for _, c := range calls {
			found = found || strings.HasPrefix(c, path+" ")
		}
		if !found {
			t.Errorf("no script in %s or %s calls warren %s and wants it to succeed", scripts, clusterScripts, path)
		}
		var out, errw bytes.Buffer
		if code := cli.Main(append(strings.Fields(path), "--help"), strings.NewReader(""), &out, &errw); code != 0 || !strings.Contains(out.String(), "Usage:\n  warren "+path) || errw.Len() > 0 {
			t.Errorf("warren %s --help: exit %d\n%s%s", path, code, &out, &errw)
		}
		errw.Reset()
		if code := cli.Main(append(strings.Fields(path), "--no-such-flag"), strings.NewReader(""), &bytes.Buffer{}, &errw); code != 2 || !strings.Contains(errw.String(), "--no-such-flag") {
			t.Errorf("warren %s --no-such-flag: exit %d\n%s", path, code, &errw)
		}
	})
}
