package places

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes a database of networks, at once, as a program should that replaces one.
func write(t *testing.T, path string, networks map[string]mmdbtype.Map) {
	t.Helper()
	db, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "test", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	for n, r := range networks {
		_, ipnet, err := net.ParseCIDR(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Insert(ipnet, r); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func maxmind(country string) mmdbtype.Map {
	return mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}}
}

func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	countries, plain, networks := filepath.Join(dir, "c.mmdb"), filepath.Join(dir, "p.mmdb"), filepath.Join(dir, "a.mmdb")
	write(t, countries, map[string]mmdbtype.Map{"192.0.2.0/24": maxmind("CH"), "2001:db8::/32": maxmind("LI")})
	write(t, plain, map[string]mmdbtype.Map{"192.0.2.0/24": {"country_code": mmdbtype.String("XX")}, "198.51.100.0/24": {"country_code": mmdbtype.String("DE")}})
	write(t, networks, map[string]mmdbtype.Map{"192.0.2.0/25": {"autonomous_system_number": mmdbtype.Uint32(64500)}})
	p := New([]string{countries, plain, networks, filepath.Join(dir, "missing.mmdb")}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	for text, want := range map[string]struct {
		country string
		asn     uint32
	}{
		"192.0.2.1": {"CH", 64500}, "::ffff:192.0.2.1": {"CH", 64500}, "192.0.2.200": {"CH", 0}, "2001:db8::1": {"LI", 0}, "2001:db8::1%eth0": {"LI", 0},
		"198.51.100.1": {"DE", 0}, "203.0.113.1": {"", 0}, "2001:db9::1": {"", 0},
	} {
		if c, n := p.Locate(netip.MustParseAddr(text)); c != want.country || n != want.asn {
			t.Errorf("%s: %q %d, want %q %d", text, c, n, want.country, want.asn)
		}
	}
	for i, want := range []State{{Kind: "test", Countries: true}, {Kind: "test", Countries: true}, {Kind: "test", Networks: true}, {}} {
		got := p.States()[i]
		if got.Kind != want.Kind || got.Countries != want.Countries || got.Networks != want.Networks || got.Built.IsZero() == (want.Kind != "") || (got.Problem == "") == (want.Kind == "") {
			t.Errorf("%s: %+v", got.Path, got)
		}
	}
	if c, n := p.Locate(netip.Addr{}); c != "" || n != 0 {
		t.Errorf("no address: %q %d", c, n)
	}
	if c, _ := New(nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).Locate(netip.MustParseAddr("192.0.2.1")); c != "" {
		t.Errorf("without a file: %q", c)
	}
}

// Another version counts soon, one that can't be read leaves the one before.
func TestPlacesChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.mmdb")
	bubbletest.Run(t, func(t *testing.T) {
		p := New([]string{path}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		done := make(chan struct{})
		go func() { defer close(done); _ = p.Run(t.Context()) }()
		is := func(when, want string) {
			t.Helper()
			time.Sleep(look)
			synctest.Wait()
			if c, _ := p.Locate(netip.MustParseAddr("192.0.2.1")); c != want {
				t.Errorf("%s: %q, want %q", when, c, want)
			}
		}
		is("before there is a file", "")
		write(t, path, map[string]mmdbtype.Map{"192.0.2.0/24": maxmind("CH")})
		is("with a file", "CH")
		write(t, path, map[string]mmdbtype.Map{"192.0.2.0/24": maxmind("FR")})
		is("with another one", "FR")
		if err := os.WriteFile(path, []byte("torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		is("with one that is torn", "FR")
		if s := p.States()[0]; s.Built.IsZero() || s.Problem == "" || !s.Countries {
			t.Errorf("a torn one after a whole one: %+v", s)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		is("without a file", "FR")
	})
}
