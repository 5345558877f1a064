package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
