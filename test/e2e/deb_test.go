//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A machine as far as packages are installed on it.
type machine struct {
	t    *testing.T
	root string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t, t.TempDir()}
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"} {
		m.must(os.MkdirAll(m.path(dir), 0o755))
	}
	m.must(os.WriteFile(m.path("var/lib/dpkg/status"), nil, 0o644))
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) dpkg(args ...string) {
	m.t.Helper()
	m.run("dpkg", append([]string{"--root=" + m.root, "--force-script-chrootless"}, args...)...)
}

func (m *machine) run(name string, args ...string) string {
	m.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (m *machine) there(name string) bool {
	_, err := os.Lstat(m.path(name))
	return err == nil
}

// packages builds them as of a version.
func (m *machine) packages(version string) (files []string) {
	m.t.Helper()
	m.t.Setenv("DEB_COMPRESSION", "none") // which is what takes time
	out := m.run("../../deploy/deb/build", "../../bin", m.t.TempDir(), version)
	return strings.Fields(out)
}

// What "make deb" makes is installed, upgraded, removed and purged below a folder by dpkg, and systemd accepts the units.
func TestDebianPackages(t *testing.T) {
	m := newMachine(t)
	files := m.packages("v1.2.3-rc1")
	if len(files) != 4 {
		t.Fatalf("packages %q", files)
	}
	m.dpkg(append([]string{"--install"}, files...)...)
	units := []string{"warren-control.service", "warren-node.service", "warren-node-https.socket", "warren-node-dns.socket", "warren-node-gossip.socket", "warren-connector.service"}
	for _, name := range []string{"warren", "warren-control", "warren-node", "warren-connector"} {
		if !m.there("usr/bin/"+name) || !m.there("usr/share/doc/"+name+"/copyright") {
			t.Errorf("%s: its program or its license is missing", name)
		}
		if out := m.run(m.path("usr/bin/"+name), "--help"); !strings.Contains(out, "Usage:") {
			t.Errorf("%s --help says %s", name, out)
		}
	}
	for _, file := range []string{"usr/share/man/man1/warren-apply.1.gz", "usr/share/bash-completion/completions/warren", "usr/share/doc/warren-connector/examples/connector.yaml"} {
		if !m.there(file) {
			t.Errorf("%s is missing", file)
		}
	}
	m.accepted(units)

	// The version after it is an upgrade, and so is what comes after a release.
	for _, version := range []string{"v1.2.3", "v1.2.3-4-gabcdef0-dirty"} {
		next := m.packages(version)
		for i, file := range next {
			if err := exec.Command("dpkg", "--compare-versions", versionOf(files[i]), "lt", versionOf(file)).Run(); err != nil {
				t.Errorf("%s is not older than %s", filepath.Base(files[i]), filepath.Base(file))
			}
		}
		files = next
		m.dpkg(append([]string{"--install"}, files...)...)
	}
	if out := m.run("dpkg-query", "--admindir="+m.path("var/lib/dpkg"), "--show", "warren-node"); !strings.Contains(out, "1.2.3+4.gabcdef0.dirty") {
		t.Errorf("installed is %s", out)
	}

	// What it has become stays when a package goes, until somebody says purge; settings were written by hand.
	state := "var/lib/private/warren-node/identity"
	m.must(os.MkdirAll(filepath.Dir(m.path(state)), 0o700))
	m.must(os.WriteFile(m.path(state), nil, 0o600))
	m.must(os.WriteFile(m.path("etc/warren/node.yaml"), nil, 0o644))
	m.dpkg("--remove", "warren-node")
	if m.there("usr/bin/warren-node") || m.there("lib/systemd/system/warren-node.service") || !m.there(state) {
		t.Error("removed: its program is there, or its state is not")
	}
	m.dpkg("--purge", "warren-node")
	if m.there("var/lib/private/warren-node") || !m.there("etc/warren/node.yaml") {
		t.Error("purged: its state is there, or its settings are not")
	}
}

// accepted asks systemd what it thinks of units, on a machine with the targets that they speak of.
func (m *machine) accepted(units []string) {
	m.t.Helper()
	for _, target := range []string{"multi-user", "sockets", "network-online", "sysinit", "basic", "shutdown", "network"} {
		m.must(os.WriteFile(m.path("lib/systemd/system/"+target+".target"), []byte("[Unit]\nDescription="+target+"\n"), 0o644))
	}
	for _, unit := range units {
		cmd := exec.Command("systemd-analyze", "verify", "--man=no", "--root="+m.root, m.path("lib/systemd/system/"+unit))
		out, err := cmd.CombinedOutput()
		if said := strings.TrimSpace(string(out)); err != nil || said != "" {
			m.t.Errorf("%s: %v\n%s", unit, err, said)
		}
	}
	// It does say something about what is wrong.
	bad := m.path("lib/systemd/system/bad.service")
	m.must(os.WriteFile(bad, []byte("[Service]\nExecStart=/usr/bin/warren-missing\nRestrt=no\n"), 0o644))
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--root="+m.root, bad).CombinedOutput(); err == nil && len(out) == 0 {
		m.t.Error("systemd accepts everything")
	}
	m.must(os.Remove(bad))
}

func versionOf(file string) string {
	parts := strings.Split(filepath.Base(file), "_")
	if len(parts) != 3 {
		return fmt.Sprint("no version in ", file)
	}
	return parts[1]
}

// T44: who builds the same source elsewhere, later, gets the same artefacts, to the octet; packages say what is in them and
// have checksums beside them.
func TestT44ArtefactsCanBeBuiltAgain(t *testing.T) {
	m := newMachine(t)
	there := t.TempDir()
	for _, part := range []string{"Makefile", "go.mod", "go.sum", "api", "dataplane", "shared"} {
		m.run("cp", "-r", "../../"+part, there)
	}
	build := func(dir string) string { // as "make build" does, of one program
		out := t.TempDir()
		all := m.run("make", "--dry-run", "--no-print-directory", "-C", dir, "build", "VERSION=t44")
		line := all[strings.Index(all, "CGO_ENABLED"):]
		one := strings.NewReplacer("-o bin/", "-o "+out+"/", "./controlplane/cmd/...", "", "./dataplane/cmd/...", "./dataplane/cmd/warren-connector").Replace(line)
		m.run("sh", "-c", `cd "$0" && eval "$1"`, dir, one)
		return filepath.Join(out, "warren-connector")
	}
	same := func(what, a, b string) {
		t.Helper()
		one, err := os.ReadFile(a)
		m.must(err)
		other, err := os.ReadFile(b)
		m.must(err)
		if !bytes.Equal(one, other) {
			t.Errorf("%s, built again, is another one", what)
		}
	}
	same("the connector", build("../.."), build(there))
	first, second := m.packages("v1.2.3"), m.packages("v1.2.3")
	for i, file := range first {
		same(filepath.Base(file), file, second[i])
	}
	dir := filepath.Dir(first[0])
	sums, err := filepath.Glob(filepath.Join(dir, "*.sha256"))
	m.must(err)
	if len(sums) != 1 {
		t.Fatalf("checksums: %v", sums)
	}
	m.run("sh", "-c", `cd "$0" && sha256sum --check --strict "$1"`, dir, filepath.Base(sums[0]))
	m.dpkg("--install", first[0])
	name, _, _ := strings.Cut(filepath.Base(first[0]), "_")
	modules, err := os.ReadFile(m.path("usr/share/doc/" + name + "/modules"))
	m.must(err)
	if !strings.Contains(string(modules), "\tgolang.org/x/crypto\tv") || !strings.Contains(string(modules), "\th1:") {
		t.Errorf("%s does not say what is in it:\n%s", name, modules)
	}
}
