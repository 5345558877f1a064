package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/warrenedge/warren/controlplane/valkeylink"
)

// How replicas share a Valkey:
//
//	warren:presence:replicas      hash: replica id -> ""; who may have a table
//	warren:presence:table:<id>    hash: "<kind>/<id>" -> entry as JSON, "" -> seq; expires unless its replica lives
//	warren:presence:events        channel: {"replica":…,"seq":…} with "entry":… or "gone":…, or
//	                              "hello" (who comes asks for fresh tables), "table" (here is one), or "beat" (a sign of
//	                              life, each refresh)
//
// Events make it quick, tables make it right: each replica reads all tables at every (re)connect and
// again every resync. A table may be read before an event and looked at after it: seq tells. Nothing here is an authority; a flush costs one resync.
const (
	replicasKey = "warren:presence:replicas"
	tablePrefix = "warren:presence:table:"
	channel     = "warren:presence:events"

	tableTTL    = 10 * time.Second
	refresh     = 2 * time.Second // rewrites the own table
	resyncEvery = 5 * time.Second // reads the others'
	callLimit   = 2 * time.Second
)

// Valkey is the Bus over a Valkey or Redis ≥ 7 server. Losing the server costs freshness only.
type Valkey struct {
	link    *valkeylink.Link
	replica string
	log     *slog.Logger
	live    atomic.Bool
	resync  time.Duration // resyncEvery, longer in tests
	queue   chan event    // bound 1024; when full an event is dropped: the next table carries it
	asked   chan struct{} // somebody wants our table
	fresh   chan struct{} // somebody has written his

	lastAlive []string // replicas that had a table at the last read; used by Run only

	mu  sync.Mutex
	seq uint64 // of the last change of own
	own map[Key]Entry
}

type event struct {
	Replica string `json:"replica"`
	Seq     uint64 `json:"seq"`
	Entry   *Entry `json:"entry,omitempty"`
	Gone    *Key   `json:"gone,omitempty"`
	Hello   bool   `json:"hello,omitempty"`
	Table   bool   `json:"table,omitempty"`
	Beat    bool   `json:"beat,omitempty"`
}

// NewValkey makes a Bus for a URL such as redis://host:6379/0 or unix:///run/valkey.sock. It connects in
// Run; a URL that can't be read is an error here.
func NewValkey(url, replica string, log *slog.Logger) (*Valkey, error) {
	link, err := valkeylink.New(url, "warren-control", callLimit)
	if err != nil {
		return nil, err
	}
	// A replica with a fixed id that starts again must count on.
	seq := uint64(time.Now().UnixNano())
	return &Valkey{link: link, replica: replica, log: log, resync: resyncEvery, queue: make(chan event, 1024), asked: make(chan struct{}, 1), fresh: make(chan struct{}, 1), seq: seq, own: map[Key]Entry{}}, nil
}

// Live implements Bus.
func (v *Valkey) Live() bool { return v.live.Load() }

// Put implements Bus.
func (v *Valkey) Put(_ context.Context, e Entry, urgent bool) {
	v.mu.Lock()
	v.seq++
	e.Seq = v.seq
	v.own[e.Key] = e
	v.mu.Unlock()
	if urgent {
		v.announce(event{Replica: v.replica, Seq: e.Seq, Entry: &e})
	}
}

// Drop implements Bus.
func (v *Valkey) Drop(_ context.Context, k Key) {
	v.mu.Lock()
	v.seq++
	seq := v.seq
	delete(v.own, k)
	v.mu.Unlock()
	v.announce(event{Replica: v.replica, Seq: seq, Gone: &k})
}

func (v *Valkey) announce(e event) {
	select {
	case v.queue <- e:
	default:
	}
}

// Run implements Bus: it connects again for as long as ctx lives.
func (v *Valkey) Run(ctx context.Context, to Receiver) error {
	v.link.Run(ctx, 0, func(ctx context.Context, c valkey.Client, connected func()) error {
		defer v.live.Store(false)
		return v.session(ctx, c, to, connected)
	}, func(err error) { v.log.Warn("valkey is away, presence of other replicas is frozen", "err", err) })
	return nil
}

// session serves one connection until it fails. What is said after the tables were read must be heard, so it listens first.
func (v *Valkey) session(ctx context.Context, client valkey.Client, to Receiver, connected func()) error {
	return valkeylink.Listen(ctx, client, channel, callLimit, func(m string) { v.deliver(m, to) }, func(ended <-chan error) error {
		return v.serve(ctx, client, to, connected, ended)
	})
}

// serve keeps the own table, and takes over the others'.
func (v *Valkey) serve(ctx context.Context, client valkey.Client, to Receiver, connected func(), ended <-chan error) error {
	if err := v.write(ctx, client); err != nil {
		return err
	}
	if err := v.read(ctx, client, to); err != nil {
		return err
	}
	for _, r := range v.lastAlive { // of what was not heard before, nothing follows
		to.Awake(r, false)
	}
	// What others said between their last table and our listening is in neither: let them write again.
	if err := v.publish(ctx, client, event{Replica: v.replica, Hello: true}); err != nil {
		return err
	}
	connected()
	v.live.Store(true)
	v.log.Info("presence is shared with other replicas")

	writes, reads := time.NewTicker(refresh), time.NewTicker(v.resync)
	defer writes.Stop()
	defer reads.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			v.leave(client)
			return nil
		case err := <-ended:
			return err
		case e := <-v.queue:
			err = v.publish(ctx, client, e)
		case <-writes.C:
			if err = v.write(ctx, client); err == nil {
				err = v.publish(ctx, client, event{Replica: v.replica, Beat: true})
			}
		case <-reads.C:
			err = v.read(ctx, client, to)
		case <-v.asked:
			if err = v.write(ctx, client); err == nil {
				err = v.publish(ctx, client, event{Replica: v.replica, Table: true})
			}
		case <-v.fresh:
			err = v.read(ctx, client, to)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// signal wakes the session; one that is not yet taken is enough.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (v *Valkey) publish(ctx context.Context, c valkey.Client, e event) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := c.Do(ctx, c.B().Publish().Channel(channel).Message(string(b)).Build()).Error(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// write replaces the own table.
func (v *Valkey) write(ctx context.Context, c valkey.Client) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	key := tablePrefix + v.replica
	v.mu.Lock()
	set := c.B().Hset().Key(key).FieldValue().FieldValue("", strconv.FormatUint(v.seq, 10)) // a table without entries must exist, too
	for k, e := range v.own {
		b, err := json.Marshal(e)
		if err != nil {
			v.mu.Unlock()
			return err
		}
		set = set.FieldValue(string(k.Kind)+"/"+k.ID, string(b))
	}
	v.mu.Unlock()
	for _, r := range c.DoMulti(ctx,
		c.B().Multi().Build(),
		c.B().Del().Key(key).Build(),
		set.Build(),
		c.B().Pexpire().Key(key).Milliseconds(tableTTL.Milliseconds()).Build(),
		c.B().Hset().Key(replicasKey).FieldValue().FieldValue(v.replica, "").Build(),
		c.B().Exec().Build(),
	) {
		if err := r.Error(); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	return nil
}

// read takes over the tables of all other replicas and forgets replicas without one.
func (v *Valkey) read(ctx context.Context, c valkey.Client, to Receiver) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	replicas, err := c.Do(ctx, c.B().Hkeys().Key(replicasKey).Build()).AsStrSlice()
	if err != nil {
		return fmt.Errorf("read replicas: %w", err)
	}
	alive := make([]string, 0, len(replicas))
	for _, r := range replicas {
		table, err := c.Do(ctx, c.B().Hgetall().Key(tablePrefix+r).Build()).AsStrMap()
		if err != nil {
			return fmt.Errorf("read table of %s: %w", r, err)
		}
		if len(table) == 0 {
			if err := c.Do(ctx, c.B().Hdel().Key(replicasKey).Field(r).Build()).Error(); err != nil {
				return fmt.Errorf("forget replica %s: %w", r, err)
			}
			continue
		}
		alive = append(alive, r)
		seq, err := strconv.ParseUint(table[""], 10, 64)
		if err != nil {
			return fmt.Errorf("table of %s: %w", r, err)
		}
		entries := make([]Entry, 0, len(table))
		for field, raw := range table {
			if field == "" {
				continue
			}
			var e Entry
			if err := json.Unmarshal([]byte(raw), &e); err != nil {
				v.log.Warn("presence entry unreadable", "replica", r, "entry", field, "err", err)
				continue
			}
			entries = append(entries, e)
		}
		to.ReplaceReplica(r, seq, entries)
	}
	// A replica whose table is missing once may be about to write it again after a flush.
	keep := append(slices.Clone(alive), v.lastAlive...)
	v.lastAlive = alive
	to.KeepReplicas(keep)
	return nil
}

// leave withdraws the table, so that others need not wait for it to expire.
func (v *Valkey) leave(c valkey.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	for _, r := range c.DoMulti(ctx, c.B().Del().Key(tablePrefix+v.replica).Build(), c.B().Hdel().Key(replicasKey).Field(v.replica).Build()) {
		if err := r.Error(); err != nil {
			v.log.Warn("presence table not withdrawn, it will expire", "err", err)
			return
		}
	}
}

func (v *Valkey) deliver(raw string, to Receiver) {
	var e event
	if err := json.Unmarshal([]byte(raw), &e); err != nil {
		v.log.Warn("presence event unreadable", "err", err)
		return
	}
	if e.Replica == v.replica {
		return
	}
	to.Awake(e.Replica, e.Beat)
	switch {
	case e.Hello:
		to.Began(e.Replica)
		signal(v.asked)
	case e.Table:
		signal(v.fresh)
	case e.Entry != nil:
		e.Entry.Replica = e.Replica
		to.UpdateEntry(*e.Entry)
	case e.Gone != nil:
		to.DropEntry(e.Replica, *e.Gone, e.Seq)
	}
}
