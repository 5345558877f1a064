//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/acme/acmetest"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/test/lab/canary"
)

// No private key and no bearer token that a cluster made is in a dump of its database, in the logs of its programs at
// debug level, in their metrics and profiles, or in an answer of the API.
func TestNoSecretIsFound(t *testing.T) {
	for _, program := range []string{"CONTROL", "NODE", "CONNECTOR"} {
		t.Setenv("WARREN_"+program+"_LOG_LEVEL", "debug")
	}
	c := newCluster(t)
	c.publishApp()
	hmac := base64.RawURLEncoding.EncodeToString([]byte("canary of the account's binding 5f1c09"))
	proxy, err := c.StartAuthorityBehind(t.Context(), acmetest.Config{EAB: map[string]string{"customer-7": hmac}}, 1)
	c.must(err)
	t.Cleanup(proxy.Stop)
	c.warren("create", "webhook", "ops", "--url", "https://hooks.example/x")
	rotated := strings.TrimSpace(c.warren("webhook", "rotate-secret", "ops", "--yes"))
	key := strings.TrimSpace(c.warren("create", "api-key", "second"))
	c.ordered("the certificate is ordered", func() error {
		var all []struct{ State, Certificate, Problem string }
		if err := c.JSON(&all, "cert", "list"); err != nil {
			return err
		}
		if len(all) == 0 || all[0].Certificate == "" {
			return fmt.Errorf("%+v", all)
		}
		return nil
	})
	c.answered("https://"+app+"/", "--insecure")
	c.pendingKeys(proxy)
	_, _ = c.Warren("webhook", "test", "ops") // nobody is there: the failure is logged and shown
	secrets := slices.Concat(c.personSecrets(), c.accessSecrets(), c.sealedSecrets(), c.diskSecrets())
	secrets = append(secrets, canary.Text("HMAC key of the account's binding", hmac), canary.Text("webhook's key", rotated), canary.Text("API key", key), canary.Text("first API key", c.Key))
	c.must(everyKind(secrets))
	where := c.haystacks()
	if len(where) < 60 {
		t.Errorf("only %d places to look at", len(where))
	}
	for name, text := range where {
		if found := canary.Find(secrets, text); len(found) > 0 {
			t.Errorf("%s holds %v", name, found)
		}
	}
}

// everyKind fails if a kind of secret has not been made: the search would look for nothing.
func everyKind(secrets []canary.Secret) error {
	kinds := []string{
		"identity.key", "wireguard.key", "snapshot.key", ".token", "API key", "password", "setup token", "session", "TOTP secret", "backup code",
		"access code", "access token", "browser's secret", "password-reset", "invitations", "device-logins",
	}
	for _, col := range store.SealedColumns {
		kinds = append(kinds, col.Table+"."+col.Column+" of")
	}
	var missing []string
	for _, kind := range kinds {
		if !slices.ContainsFunc(secrets, func(s canary.Secret) bool { return strings.Contains(s.Name, kind) }) {
			missing = append(missing, kind)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("no secret of kind %v", missing)
	}
	return nil
}

// query returns the rows of a query, as psql prints them.
func (c *suite) query(sql string) []string {
	c.t.Helper()
	out, err := c.DB.Host.Command("psql", "-X", "-At", "-F", " ", "-h", c.DB.Host.Addr.String(), "-U", "warren", "-d", "postgres", "-c", sql).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v: %s", sql, err, out)
	}
	return strings.Fields(string(out))
}

// sealedSecrets opens all that is sealed in the database.
func (c *suite) sealedSecrets() (out []canary.Secret) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Dir, "kek.json"))
	c.must(err)
	kek, err := authority.ParseKEK(text)
	c.must(err)
	wrapped, err := hex.DecodeString(c.query("SELECT encode(wrapped, 'hex') FROM data_keysets")[0])
	c.must(err)
	keys, err := kek.Unwrap(wrapped)
	c.must(err)
	sealer := authority.NewReloadingSealer(keys, func() (*authority.DataKeys, error) { return nil, errors.New("one is all there is") })
	for _, col := range store.SealedColumns {
		rows := c.query(fmt.Sprintf("SELECT %s::text, encode(%s, 'hex') FROM %s WHERE %[2]s IS NOT NULL", col.Key, col.Column, col.Table))
		for pair := range slices.Chunk(rows, 2) {
			row, err := col.Row(pair[0])
			c.must(err)
			sealed, err := hex.DecodeString(pair[1])
			c.must(err)
			plain, err := sealer.Open(sealed, row)
			c.must(err)
			out = append(out, c.secret(fmt.Sprintf("%s.%s of %s", col.Table, col.Column, pair[0]), plain))
		}
	}
	return out
}

// secret is a private key, or bytes that are secret by themselves.
func (c *suite) secret(name string, plain []byte) canary.Secret {
	c.t.Helper()
	if b, _ := pem.Decode(plain); b == nil {
		return canary.Bytes(name, plain)
	}
	s, err := canary.Key(name, plain)
	c.must(err)
	return s
}

// diskSecrets are those that nodes and connectors made where they stand, and the tokens that they came with.
func (c *suite) diskSecrets() (out []canary.Secret) {
	c.t.Helper()
	for _, pattern := range []string{"*/identity.key", "*/wireguard.key", "*/snapshot.key", "*.token"} {
		files, err := filepath.Glob(filepath.Join(c.Dir, pattern))
		c.must(err)
		for _, f := range files {
			b, err := os.ReadFile(f)
			c.must(err)
			name, _ := filepath.Rel(c.Dir, f)
			if strings.HasSuffix(f, ".token") {
				out = append(out, canary.Text(name, strings.TrimSpace(string(b))))
				continue
			}
			out = append(out, c.secret(name, b))
		}
	}
	return out
}

// haystacks are all texts that leave a program, by name.
func (c *suite) haystacks() map[string][]byte {
	c.t.Helper()
	out := map[string][]byte{}
	dump, err := c.DB.Host.Command(newest("pg_dump"), "-h", c.DB.Host.Addr.String(), "-U", "warren", "postgres").Output()
	c.must(err)
	if !bytes.Contains(dump, []byte("COPY public.certificates")) {
		c.t.Error("the dump has no certificates")
	}
	out["dump"] = dump
	for name, p := range c.Processes() {
		log := []byte(p.Log())
		if out["log of "+name] = log; strings.HasSuffix(name, "-con") && !bytes.Contains(log, []byte(" DBG ")) { // others say little at that level
			c.t.Errorf("%s logs nothing at debug level", name)
		}
		if !strings.HasPrefix(name, "control") && !strings.HasPrefix(name, "n") {
			continue
		}
		for _, path := range []string{"metrics", "healthz", "readyz", "debug/pprof/cmdline", "debug/pprof/goroutine?debug=2", "debug/pprof/heap?debug=1"} {
			b, err := p.Host.Command("curl", "-sS", "http://127.0.0.1:9090/"+path).Output()
			c.must(err)
			out[name+" "+path] = b
		}
	}
	for path, b := range c.answers() {
		out[path] = b
	}
	for name, b := range c.report() {
		out["bugreport "+name] = b
	}
	return out
}

// report is what somebody gives away who asks for help: warren bugreport, file by file.
func (c *suite) report() map[string][]byte {
	c.t.Helper()
	file := filepath.Join(c.Dir, "report.tar.gz")
	c.warren("bugreport", "--filename", file)
	f, err := os.Open(file)
	c.must(err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	c.must(err)
	out := map[string][]byte{}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		c.must(err)
		b, err := io.ReadAll(t)
		c.must(err)
		_, name, _ := strings.Cut(h.Name, "/")
		out[name] = b
	}
	for _, name := range []string{"status.json", "snapshots.json", "services.json", "doctor.json", "nodes.json"} {
		if len(out[name]) < 3 {
			c.t.Errorf("%s of the report says nothing: %s; %s", name, out[name], out["errors.txt"])
		}
	}
	return out
}

// newest is a program of the newest PostgreSQL.
func newest(program string) string {
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	if len(all) == 0 {
		return program
	}
	return all[len(all)-1]
}

// accessSecrets makes one of each secret that lets people and programs in, at the cluster or at a service.
func (c *suite) accessSecrets() (out []canary.Secret) {
	c.t.Helper()
	const org = "/api/v1/orgs/default/"
	typed := func(name string) string {
		s := "canary " + name + " 5f1c09"
		out = append(out, canary.Text(name, s))
		return s
	}
	const pin = "835201974466"
	out = append(out, canary.Text("PIN", pin))
	made := func(path, body string) {
		var v struct {
			Secret, Path, Link, Token string
			Device                    string `json:"device_code"`
		}
		c.api(http.MethodPost, path, strings.NewReader(body), &v)
		for _, s := range []string{v.Secret, v.Path, v.Link, v.Token, v.Device} {
			if s != "" {
				out = append(out, canary.Text(path, s[strings.LastIndexAny(s, "/=")+1:]))
			}
		}
	}
	made(org+"identity-providers", `{"name":"sso","issuer":"https://id.example","client_id":"warren","client_secret":"`+typed("client secret")+`"}`)
	made(org+"policies", fmt.Sprintf(`{"name":"staff","otherwise":"authenticate","auth":{"pin":{"code":%q},"password":{"secret":%q},"basic":[{"user":"ann","password":%q}]}}`,
		pin, typed("policy's password"), typed("basic password")))
	made(org+"policies/staff/links", `{"title":"for Bob"}`)
	made(org+"policies/staff/tokens", `{"name":"probe"}`)
	made(org+"service-accounts", `{"name":"ci","roles":["viewer"]}`)
	made("/api/v1/api-keys", `{"name":"of-ci","organization":"default","service_account":"ci"}`)
	made("/api/v1/users/ann@example.org/password-reset", `{}`)
	made(org+"invitations", `{"name":"bob@example.org","roles":["viewer"]}`)
	made("/api/v1/device-logins", `{"client":"laptop"}`)
	if want := 6 + 1 + 3; len(out) < want {
		c.t.Errorf("only %d secrets were made", len(out))
	}
	return out
}

// answers are those to all that can be read, as the API's description has it, by path: lists, each object in them, what is below it.
func (c *suite) answers() map[string][]byte {
	c.t.Helper()
	var doc struct {
		Paths map[string]map[string]any
	}
	c.api(http.MethodGet, "/api/v1/openapi.json", nil, &doc)
	out := map[string][]byte{}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		// Streams don't end, and what waits for something hears of nothing.
		if _, ok := doc.Paths[path]["get"]; !ok || strings.HasSuffix(path, "/tail") || path == "/api/v1/wait" {
			continue
		}
		for _, p := range c.objects(path, out) {
			out[p] = c.raw(p)
		}
	}
	snapshots := 0
	for path := range out {
		if strings.HasPrefix(path, "/debug/snapshots/") {
			snapshots++
		}
	}
	if want := len(c.Nodes) + len(c.Sites); snapshots < want {
		c.t.Errorf("%d snapshots were read, want at least %d", snapshots, want)
	}
	return out
}

// objects are the paths that one of the description stands for, by the lists that were read.
func (c *suite) objects(path string, read map[string][]byte) []string {
	c.t.Helper()
	all := []string{""}
	for _, part := range strings.Split(path, "/")[1:] {
		var longer []string
		for _, at := range all {
			switch {
			case part == "{org}":
				longer = append(longer, at+"/default")
			case strings.HasPrefix(part, "{"):
				for _, name := range c.listed(read[at]) {
					longer = append(longer, at+"/"+name)
				}
			default:
				longer = append(longer, at+"/"+part)
			}
		}
		all = longer
	}
	return all
}

// listed are the objects of a list.
func (c *suite) listed(answer []byte) (all []string) {
	var list struct {
		Items []struct{ ID, Name, Node string }
	}
	if json.Unmarshal(answer, &list) != nil {
		return nil
	}
	for _, o := range list.Items {
		if name := cmp.Or(o.ID, o.Name, o.Node); name != "" {
			all = append(all, name)
		}
	}
	return all
}

// raw is an answer of the API as it is, a refusal too.
func (c *suite) raw(path string) []byte {
	c.t.Helper()
	out, err := c.Admin.Command("curl", "-sS", "-i", "--max-time", "60", "-H", "Authorization: Bearer "+c.Key, "http://198.18.1.10:8080"+path).CombinedOutput()
	if err != nil || bytes.HasPrefix(out, []byte("HTTP/1.1 5")) {
		c.t.Fatalf("GET %s: %v: %s", path, err, out)
	}
	_, body, _ := bytes.Cut(out, []byte("\r\n\r\n"))
	return body
}
