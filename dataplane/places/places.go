// Package places says in which country an address is and whose network it belongs to, by files in MaxMind's format.
package places

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// look is how often it is looked whether a file is another one.
const look = 10 * time.Second

// Places looks up addresses in the newest readable version of its files. Safe for concurrent use.
type Places struct {
	files   []*file
	log     *slog.Logger
	loaded  *prometheus.GaugeVec
	changed *prometheus.CounterVec
}

// file is one database. A look-up that is under way keeps what it reads: a version is whole in memory, never mapped.
type file struct {
	path string
	db   atomic.Pointer[maxminddb.Reader] // nil: there is none that can be read
	is   atomic.Pointer[State]
	seen os.FileInfo // of Run alone; the version that was tried last
}

// State is what one of the files is.
type State struct {
	Path      string
	Kind      string    // as it calls itself, such as GeoLite2-Country
	Built     time.Time // of the version in use; zero: there is none
	Countries bool      // are looked up in it
	Networks  bool      // autonomous systems are
	Problem   string    // why the version that was tried last is not in use; "": it is
}

// record is what is read of an entry: of MaxMind's own files, and of those that are made of public data.
type record struct {
	Country struct {
		ISOCode string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	CountryCode string `maxminddb:"country_code"`
	ASN         uint32 `maxminddb:"autonomous_system_number"`
}

// New makes Places of files: the first one that knows a country, and the first one that knows a network, are believed. It reads
// what can be read; what can't is told, and tried again by Run.
func New(paths []string, log *slog.Logger, reg prometheus.Registerer) *Places {
	p := &Places{
		log:     log,
		loaded:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "node_places_build_timestamp_seconds", Help: "When a database of addresses was built; 0 while it can't be read."}, []string{"file"}),
		changed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_places_loads_total", Help: "Versions of databases of addresses that were tried, by result."}, []string{"result"}),
	}
	reg.MustRegister(p.loaded, p.changed)
	for _, path := range paths {
		f := &file{path: path}
		p.files = append(p.files, f)
		p.load(f)
	}
	if len(paths) == 0 {
		log.Info("no database of addresses: no rule by country or autonomous system applies that allows")
	}
	return p
}

// String names the task.
func (p *Places) String() string { return "places" }

// Run reads files anew when they have changed, until ctx ends. A version that can't be read leaves the one before.
func (p *Places) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, f := range p.files {
			if is, err := os.Stat(f.path); err == nil && (f.seen == nil || !os.SameFile(is, f.seen) || is.ModTime() != f.seen.ModTime() || is.Size() != f.seen.Size()) {
				p.load(f)
			}
		}
	}
}

func (p *Places) load(f *file) {
	err := f.read()
	if err != nil {
		p.changed.WithLabelValues("failed").Inc()
		p.log.Warn("database of addresses not read", "file", f.path, "err", err)
	} else {
		p.changed.WithLabelValues("ok").Inc()
		p.log.Info("database of addresses read", "file", f.path, "built", time.Unix(int64(f.db.Load().Metadata.BuildEpoch), 0).UTC())
	}
	is := State{Path: f.path}
	built := 0.0
	if db := f.db.Load(); db != nil {
		built = float64(db.Metadata.BuildEpoch)
		is.Kind, is.Built = db.Metadata.DatabaseType, time.Unix(int64(db.Metadata.BuildEpoch), 0).UTC()
		is.Countries, is.Networks = knows(db)
	}
	if err != nil {
		is.Problem = err.Error()
	}
	f.is.Store(&is)
	p.loaded.WithLabelValues(f.path).Set(built)
}

// States says what the files are, in their order.
func (p *Places) States() []State {
	out := make([]State, len(p.files))
	for i, f := range p.files {
		out[i] = *f.is.Load()
	}
	return out
}

// mostProbed bounds the entries that are looked at to know what a file is about: its first ones say the same as all.
const mostProbed = 1000

// knows says what can be looked up in a database.
func knows(db *maxminddb.Reader) (countries, networks bool) {
	n := 0
	for found := range db.Networks() {
		var r record
		if found.Decode(&r) == nil {
			countries = countries || r.Country.ISOCode != "" || r.CountryCode != ""
			networks = networks || r.ASN != 0
		}
		if n++; n == mostProbed || countries && networks {
			break
		}
	}
	return countries, networks
}

// maxFile bounds what a database takes of memory.
const maxFile = 512 << 20

func (f *file) read() error {
	is, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	f.seen = is
	if is.Size() > maxFile {
		return fmt.Errorf("%d bytes, want %d at most", is.Size(), maxFile)
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	db, err := maxminddb.OpenBytes(b)
	if err != nil {
		return err
	}
	if db.Metadata.NodeCount == 0 {
		return errors.New("no networks in it")
	}
	f.db.Store(db)
	return nil
}

// Locate gives the country (ISO 3166-1 alpha-2) and the autonomous system of an address; "" and 0 for what is not known.
func (p *Places) Locate(a netip.Addr) (country string, asn uint32) {
	a = a.Unmap().WithZone("")
	for _, f := range p.files {
		db := f.db.Load()
		if db == nil || !a.IsValid() {
			continue
		}
		var r record
		if db.Lookup(a).Decode(&r) != nil {
			continue
		}
		if country == "" {
			if country = r.Country.ISOCode; country == "" {
				country = r.CountryCode
			}
		}
		if asn == 0 {
			asn = r.ASN
		}
	}
	return country, asn
}
