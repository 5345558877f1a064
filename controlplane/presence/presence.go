// Package presence knows which nodes and connectors are connected, to which replica, in what state.
//
// It is what is true only now: it takes no revision, is kept in memory, and may be lost at any time.
// With a Bus the replicas of a cluster tell each other. Absence of news is not news: while the Bus is
// away, and in the first seconds of a replica's life, nobody is declared down.
package presence

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/identity"
)

// Bounds of what is believed.
const (
	// Grace is how long a subject that was connected may be away before it counts as down: long enough
	// to move to another replica.
	Grace = 3 * time.Second
	// Settle is how long a new replica waits before it calls a subject down that it never heard of.
	Settle = 15 * time.Second
	// QuietAfter is how long nothing may come of a report stream before its subject is Quiet; reports come every two
	// seconds.
	QuietAfter = 4 * time.Second
	// Silence ends a report stream that says nothing.
	Silence = 8 * time.Second
	// replicaQuiet is the same as QuietAfter for a replica, which gives a sign every refresh.
	replicaQuiet = 3*refresh + time.Second
)

// Key is one node or connector.
type Key struct {
	Kind identity.Kind `json:"kind"`
	ID   string        `json:"id"`
}

func (k Key) compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Kind, o.Kind), cmp.Compare(k.ID, o.ID))
}

// Entry is the state of one connected node or connector, as it reported it to one replica.
type Entry struct {
	Key
	Replica  string         `json:"replica"`
	Since    time.Time      `json:"since"`              // when its stream opened, by the replica's clock
	Seen     time.Time      `json:"seen"`               // last report known here, by the replica's clock: other replicas hear of it later
	Quiet    bool           `json:"quiet,omitempty"`    // its replica has heard nothing of it for QuietAfter, or nothing is heard of the replica
	Applied  model.Revision `json:"applied"`            // 0 until it has applied a checkpoint
	Version  string         `json:"version"`            // of its software
	Instance string         `json:"instance,omitempty"` // of its process: another one after each start; empty: a program from before
	Tunnels  []Tunnel       `json:"tunnels,omitempty"`
	// Rejected is what it answered to its replica, for whoever asks another one.
	Rejected []Rejected `json:"rejected,omitempty"`
	Omitted  int        `json:"omitted,omitempty"` // rejections beside these
	Targets  []Target   `json:"targets,omitempty"` // of a connector, ordered by id, each once
	// Attempts are targets that a node's own traffic does not reach, ordered by id, each once.
	Attempts []Attempt `json:"attempts,omitempty"`
	Load     *Load     `json:"load,omitempty"` // of a node; nil: it does not say
	// Places are a node's databases of addresses, in their order.
	Places []PlacesFile `json:"places,omitempty"`
	// Listening are the TCP ports of a connector's machine on which something listens, ascending, each once.
	Listening []uint16 `json:"listening,omitempty"`
	// Seq orders what one replica says, across its restarts. Set by the Bus.
	Seq uint64 `json:"seq"`
}

// Load is how much a node has to do.
type Load struct {
	Processors  float64 `json:"processors"`  // share of its machine's that its program used lately, 0 to 1
	Connections int     `json:"connections"` // of clients, open
}

// PlacesFile is a database that says in which country an address is, or whose network it belongs to.
type PlacesFile struct {
	Path      string    `json:"path"`
	Kind      string    `json:"kind,omitempty"`    // as it calls itself
	Built     time.Time `json:"built_at,omitzero"` // of the version in use; zero: there is none
	Countries bool      `json:"countries"`         // are looked up in it
	Networks  bool      `json:"networks"`          // autonomous systems are
	Problem   string    `json:"problem,omitempty"` // why the version that was tried last is not in use
}

// Rejected is a resource at the version that a node or connector did not apply.
type Rejected struct {
	TypeURL string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Reason  string `json:"reason"`
}

// Tunnel is one WireGuard tunnel as one of its ends sees it.
type Tunnel struct {
	Peer          string    `json:"peer"`
	Up            bool      `json:"up"`
	LastHandshake time.Time `json:"last_handshake,omitzero"`
	ReceivedBytes uint64    `json:"received_bytes"`
	SentBytes     uint64    `json:"sent_bytes"`
	// What its end measures, and what goes over what.
	RoundTrip time.Duration `json:"round_trip,omitzero"` // of heartbeats; 0: not measured
	Loss      float64       `json:"loss,omitzero"`       // share of heartbeats without an answer, 0..1
	Carrier   string        `json:"carrier,omitzero"`    // "stream", "wireguard" or not said
	Transport string        `json:"transport,omitzero"`  // "udp", "tls" or not said
}

// Attempt says that a node's last attempts to reach a target failed.
type Attempt struct {
	Target   string    `json:"target"`
	Failures int       `json:"failures"` // in a row
	At       time.Time `json:"at"`       // of the last one, by the replica's clock
	Reason   string    `json:"reason,omitempty"`
	NoWay    bool      `json:"no_way,omitempty"` // nothing led to the target's site
}

// Health is what the other nodes are told about a node.
type Health int

// Healths. Unknown is never told: whoever has heard something else before keeps to it.
const (
	Unknown Health = iota
	Up
	Down
)

func (h Health) String() string { return [...]string{"unknown", "up", "down"}[h] }

// Bus carries the entries of each replica to the others. Memory is the one without others.
type Bus interface {
	// Put stores and announces an entry of this replica; urgent ones reach the others at once.
	Put(ctx context.Context, e Entry, urgent bool)
	// Drop withdraws an entry of this replica.
	Drop(ctx context.Context, k Key)
	// Run delivers what other replicas say until ctx ends: replace with the whole table of a replica
	// (nil: the replica is gone), or update with one entry (gone: its key is withdrawn).
	Run(ctx context.Context, to Receiver) error
	// Live reports whether the others can be heard now.
	Live() bool
}

// Receiver takes what a Bus delivers. Tables and events of a replica may arrive in any order: their Seq
// says which is newer.
type Receiver interface {
	// ReplaceReplica takes the whole table of a replica as it was at seq.
	ReplaceReplica(replica string, seq uint64, entries []Entry)
	UpdateEntry(e Entry)
	DropEntry(replica string, k Key, seq uint64)
	// Awake takes a sign of life of a replica. beats says that it gives one every refresh, which programs from before
	// don't: their silence says nothing.
	Awake(replica string, beats bool)
	// Began takes that a replica has come, or come back: it may be another program than before, one that gives no signs of
	// life.
	Began(replica string)
	KeepReplicas(alive []string) // forget all other replicas
}

// Store is the view of one replica. Safe for concurrent use.
type Store struct {
	replica string
	bus     Bus
	log     *slog.Logger
	m       metrics

	mu       sync.Mutex
	started  time.Time
	entries  map[Key]map[string]Entry   // by replica
	lastGone map[Key]time.Time          // when the last entry of a key went away
	dropped  map[string]map[Key]uint64  // by replica: withdrawn entries, until a table is newer
	health   map[string]Health          // of nodes, last decided
	verdicts map[model.TargetID]Verdict // last decided; never TargetUnknown
	doubtful map[string]bool            // targets to decide on again, by id
	copies   map[Key]*copies
	awake    map[string]time.Time // when there was a sign of life of another replica that beats
	changed  chan struct{}        // closed and renewed at each change
}

type metrics struct{ connected *prometheus.GaugeVec }

// New makes an empty view for the replica with this id.
func New(replica string, bus Bus, log *slog.Logger, reg prometheus.Registerer) *Store {
	s := &Store{
		replica: replica, bus: bus, log: log, started: time.Now(),
		entries: map[Key]map[string]Entry{}, lastGone: map[Key]time.Time{}, dropped: map[string]map[Key]uint64{}, health: map[string]Health{},
		verdicts: map[model.TargetID]Verdict{}, doubtful: map[string]bool{}, copies: map[Key]*copies{}, awake: map[string]time.Time{}, changed: make(chan struct{}),
		m: metrics{connected: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cp_presence_connected", Help: "Nodes and connectors known to be connected, by kind and replica.",
		}, []string{"kind", "local"})},
	}
	reg.MustRegister(s.m.connected, s.copied(identity.Node), s.copied(identity.Connector))
	return s
}

// String names the task.
func (s *Store) String() string { return "presence" }

// Run follows the Bus until ctx ends.
func (s *Store) Run(ctx context.Context) error { return s.bus.Run(ctx, s) }

// Replica is the id of this replica.
func (s *Store) Replica() string { return s.replica }

// Report records what a node or connector said to this replica.
func (s *Store) Report(ctx context.Context, e Entry) {
	e.Replica = s.replica
	s.mu.Lock()
	defer s.mu.Unlock()
	old, had := s.entries[e.Key][s.replica]
	s.put(e)
	s.bus.Put(ctx, e, !had || material(old, e)) // with the lock: what is told is in the order of what is known
}

// Quiet records that nothing comes of a node's or connector's stream to this replica, open since then. Nothing changes if
// another one of its streams was heard of later.
func (s *Store) Quiet(ctx context.Context, k Key, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[k][s.replica]
	if !ok || !e.Since.Equal(since) {
		return
	}
	e.Quiet = true
	s.put(e)
	s.bus.Put(ctx, e, true)
}

// Gone records that a node's or connector's stream to this replica, open since then, ended. Nothing changes if another
// one of its streams was heard of later.
func (s *Store) Gone(ctx context.Context, k Key, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[k][s.replica]; !ok || !e.Since.Equal(since) {
		return
	}
	s.drop(s.replica, k)
	s.bus.Drop(ctx, k)
}

// Get returns the newest entry of a node or connector, from whichever replica it is connected to.
func (s *Store) Get(k Key) (Entry, bool) {
	live := s.bus.Live()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.get(s.entries[k], live, time.Now())
}

// get is newest, with the silence of the entry's replica. While nobody can be heard, that says nothing. It needs the lock.
func (s *Store) get(by map[string]Entry, live bool, now time.Time) (Entry, bool) {
	e, ok := newest(by)
	if at, beats := s.awake[e.Replica]; ok && live && beats && now.Sub(at) > replicaQuiet {
		e.Quiet = true
	}
	return e, ok
}

// List returns the newest entry of each connected node and connector, ordered by kind and id.
func (s *Store) List() []Entry {
	live, now := s.bus.Live(), time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	for _, by := range s.entries {
		if e, ok := s.get(by, live, now); ok {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b Entry) int { return a.compare(b.Key) })
	return out
}

// Changed returns a channel that closes at the next change of anything.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Live reports whether the view covers all replicas.
func (s *Store) Live() bool { return s.bus.Live() }

// Health decides which of the given nodes are up. A node is up once it is connected anywhere and has
// applied a checkpoint; it is down when it has been away for Grace, or was never heard of in Settle. What
// can't be known keeps its last value. Call it again after every change and at least each second.
func (s *Store) Health(now time.Time, nodes []string) map[string]Health {
	live := s.bus.Live()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]Health, len(nodes))
	for _, id := range nodes {
		out[id] = s.decide(now, live, id)
		if was := s.health[id]; was != out[id] {
			s.log.Info("node health changed", "node", id, "from", was.String(), "to", out[id].String())
		}
	}
	s.health = maps.Clone(out)
	return out
}

func (s *Store) decide(now time.Time, live bool, id string) Health {
	k := Key{identity.Node, id}
	was := s.health[id]
	if e, ok := newest(s.entries[k]); ok {
		if e.Applied > 0 {
			return Up
		}
		if was == Unknown {
			return Down // a newcomer is not named before it can serve
		}
		return was
	}
	if !live {
		return was
	}
	if gone, ok := s.lastGone[k]; ok {
		if now.Sub(gone) >= Grace {
			return Down
		}
		return was
	}
	if now.Sub(s.started) >= Settle {
		return Down
	}
	return was
}

// Online says whether a node or connector is connected to any replica now. It decides nothing, so that anybody may
// ask; what can't be known is Unknown.
func (s *Store) Online(now time.Time, k Key) Health {
	live := s.bus.Live()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := newest(s.entries[k]); ok {
		return Up
	}
	gone, ok := s.lastGone[k]
	switch {
	case !live:
		return Unknown
	case ok && now.Sub(gone) < Grace:
		return Unknown // on its way to another replica
	case ok, now.Sub(s.started) >= Settle:
		return Down
	}
	return Unknown
}

// Lives reports whether a node or connector is to be counted on: it reports to any replica, or it has a stream of
// resources to this one, open since then (zero: none), and nothing speaks against it. A cut cable ends no stream for up to
// half a minute, but whoever has one reports as well: is it Down all the same, only a stream counts that is younger than
// the silence in which that is noticed.
func (s *Store) Lives(now time.Time, k Key, stream time.Time) bool {
	switch s.Online(now, k) {
	case Up:
		return true
	case Down:
		return !stream.IsZero() && now.Sub(stream) < Silence
	}
	return !stream.IsZero()
}

func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// material reports whether others should hear of a change at once; counters, times and measures can wait.
func material(a, b Entry) bool {
	if a.Applied != b.Applied || a.Since != b.Since || a.Quiet != b.Quiet || a.Version != b.Version || a.Instance != b.Instance || len(a.Tunnels) != len(b.Tunnels) || a.Omitted != b.Omitted || !slices.Equal(a.Rejected, b.Rejected) {
		return true
	}
	for i := range a.Tunnels {
		x, y := a.Tunnels[i], b.Tunnels[i]
		if x.Peer != y.Peer || x.Up != y.Up || x.Carrier != y.Carrier || x.Transport != y.Transport {
			return true
		}
	}
	return !slices.EqualFunc(a.Targets, b.Targets, func(x, y Target) bool { return x.ID == y.ID && x.Health == y.Health }) ||
		!slices.EqualFunc(a.Attempts, b.Attempts, func(x, y Attempt) bool { return x.Target == y.Target && x.NoWay == y.NoWay })
}

// newest is the entry of the stream that opened last: the other is a leftover of a move.
func newest(by map[string]Entry) (Entry, bool) {
	var best Entry
	for _, e := range by {
		if best.Replica == "" || e.Since.After(best.Since) || e.Since.Equal(best.Since) && e.Replica > best.Replica {
			best = e
		}
	}
	return best, best.Replica != ""
}
