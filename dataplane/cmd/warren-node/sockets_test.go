package main

import (
	"bytes"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warrenedge/warren/dataplane/config"
)

// systemd hands over sockets under the names that this program asks for, and starts it for no others.
func TestSocketUnits(t *testing.T) {
	const folder = "../../../deploy/systemd"
	units, err := filepath.Glob(folder + "/warren-node*.socket")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	var names []string
	for _, path := range units {
		names = append(names, filepath.Base(path))
		settings := unit(t, path)
		if s := settings["Service"]; !slices.Equal(s, []string{"warren-node.service"}) {
			t.Errorf("%s: Service=%v", path, s)
		}
		name := strings.Join(settings["FileDescriptorName"], ",")
		for _, kind := range []string{"ListenStream", "ListenDatagram"} {
			if len(settings[kind]) > 1 {
				t.Errorf("%s: %d of %s, and they can't be told apart", path, len(settings[kind]), kind)
			}
			for range settings[kind] {
				got[name] = append(got[name], kind)
			}
		}
	}
	want := map[string][]string{
		socketHTTPS: {"ListenStream"}, socketDNS: {"ListenStream", "ListenDatagram"}, socketGossip: {"ListenStream", "ListenDatagram"},
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("sockets %v, want %v", got, want)
	}
	service := unit(t, folder+"/warren-node.service")
	for _, key := range []string{"Requires", "Sockets"} {
		asked := strings.Fields(strings.Join(service[key], " "))
		slices.Sort(asked)
		if !slices.Equal(asked, names) {
			t.Errorf("%s=%v, want %v", key, asked, names)
		}
	}
}

// A port for HTTP that nobody asked for may be another's; one that was asked for may not.
func TestPortOfAnotherProgram(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, byDefault := range []bool{true, false} {
		const free = "127.0.0.1:0"
		var said bytes.Buffer
		open, err := listen(config.NodeListen{HTTPS: free, DNS: free, HTTP: l.Addr().String(), HTTPByDefault: byDefault}, slog.New(slog.NewTextHandler(&said, nil)))
		if !byDefault {
			if err == nil || !strings.Contains(err.Error(), "listen.http") || said.Len() > 0 {
				t.Errorf("asked for: %v, %s", err, said.String())
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if open.http != nil || strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "write listen.http") {
			t.Errorf("not asked for: %v, %s", open.http, said.String())
		}
		_, _, _ = open.https.Close(), open.dnsUDP.Close(), open.dnsTCP.Close()
	}
}

// unit reads the settings of a unit file.
func unit(t *testing.T, path string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			settings[key] = append(settings[key], value)
		}
	}
	return settings
}
