package ads

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/resource"
)

// received is what came from the control plane, good or bad: the names and versions up to the last
// checkpoint, and over it what is staged since. It is not safe for concurrent use.
type received struct {
	order  []string // durable types in apply order
	types  map[string]*set
	token  *nodev1.Checkpoint // that closed types; nil: there is nothing to resume from
	floor  uint64             // revision below which no checkpoint is taken
	staged map[string]*stage
}

// set is what is held of one type.
type set struct {
	versions map[string]string
	digest   resource.Digest
	broken   map[string]string // name, reason: as in stage
}

// stage is what came of one type since the last checkpoint.
type stage struct {
	upserts map[string]Resource
	removed map[string]bool
	broken  map[string]string // name, reason: what cannot be given to anybody
}

func newReceived(types []string) *received {
	r := &received{}
	for _, t := range types {
		if !resource.Ephemeral(t) && t != resource.Checkpoint {
			r.order = append(r.order, t)
		}
	}
	r.forget()
	return r
}

// forget drops everything but the floor.
func (r *received) forget() {
	r.types, r.token = map[string]*set{}, nil
	for _, t := range r.order {
		r.types[t] = &set{versions: map[string]string{}, broken: map[string]string{}}
	}
	r.discard()
}

// discard drops what is staged.
func (r *received) discard() {
	r.staged = map[string]*stage{}
	for _, t := range r.order {
		r.staged[t] = &stage{upserts: map[string]Resource{}, removed: map[string]bool{}, broken: map[string]string{}}
	}
}

// restore starts from a stored state if it agrees with its checkpoint. The floor is taken in any case.
func (r *received) restore(s State) error {
	r.floor = s.Checkpoint.GetRevision()
	for _, t := range r.order {
		for name, version := range s.Received[t] {
			r.types[t].versions[name] = version
			r.types[t].digest.Add(name, version)
		}
	}
	if err := r.verify(s.Checkpoint, nil); err != nil {
		r.forget()
		return err
	}
	r.token = proto.CloneOf(s.Checkpoint)
	return nil
}

// resume is the token as it goes over the wire.
func (r *received) resume() (string, bool) {
	if r.token == nil {
		return "", false
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r.token)
	if err != nil {
		return "", false
	}
	return base64.RawURLEncoding.EncodeToString(b), true
}

// stage takes a response for a durable type. A resource without a name or version ends the stream: it
// could not be counted. One whose content is not of the type is counted, and rejected later.
func (r *received) stage(resp *discovery.DeltaDiscoveryResponse) error {
	t := resp.GetTypeUrl()
	st := r.staged[t]
	if st == nil {
		return fmt.Errorf("%w: type %q was not asked for", errProtocol, t)
	}
	for _, name := range resp.GetRemovedResources() {
		delete(st.upserts, name)
		delete(st.broken, name)
		st.removed[name] = true
	}
	for _, res := range resp.GetResources() {
		if res.GetName() == "" || res.GetVersion() == "" {
			return fmt.Errorf("%w: %s without name or version", errProtocol, resource.ShortType(t))
		}
		delete(st.removed, res.GetName())
		delete(st.broken, res.GetName())
		st.upserts[res.GetName()] = Resource{TypeURL: t, Name: res.GetName(), Version: res.GetVersion(), Body: res.GetResource().GetValue()}
		if got := res.GetResource().GetTypeUrl(); got != t {
			st.broken[res.GetName()] = fmt.Sprintf("content is %q, not %s", got, resource.ShortType(t))
		}
	}
	return nil
}

// verify compares a checkpoint with what is held plus what is staged.
func (r *received) verify(cp *nodev1.Checkpoint, reset map[string]bool) error {
	said := make(map[string]*nodev1.TypeDigest, len(cp.GetTypes()))
	for _, d := range cp.GetTypes() {
		said[d.GetTypeUrl()] = d
	}
	for _, t := range r.order {
		d := said[t]
		if d == nil {
			// An older replica does not know the type: what is held of it stays.
			if st := r.staged[t]; len(st.upserts)+len(st.removed) > 0 || reset[t] {
				return fmt.Errorf("%w: checkpoint %d does not count %s", errDigest, cp.GetRevision(), resource.ShortType(t))
			}
			continue
		}
		count, digest := r.after(t, reset[t])
		if count != d.GetCount() || !slices.Equal(digest.Bytes(), d.GetDigest()) {
			return fmt.Errorf("%w: %s at revision %d: %d received, %d promised", errDigest, resource.ShortType(t), cp.GetRevision(), count, d.GetCount())
		}
	}
	return nil
}

// after is the count and digest of a type once its stage is committed. It costs what is staged, not what
// is held.
func (r *received) after(t string, reset bool) (uint64, resource.Digest) {
	st := r.staged[t]
	var count int
	var digest resource.Digest
	if !reset {
		count, digest = len(r.types[t].versions), r.types[t].digest
		for name := range st.removed {
			if v, ok := r.types[t].versions[name]; ok {
				digest.Remove(name, v)
				count--
			}
		}
	}
	for name, res := range st.upserts {
		if v, ok := r.types[t].versions[name]; ok && !reset {
			digest.Remove(name, v)
			count--
		}
		digest.Add(name, res.Version)
		count++
	}
	return uint64(count), digest
}

// transaction is what is staged, in the form for the Handler, and a rejection for each resource that it does
// not contain because nobody could read them, those of earlier transactions included.
func (r *received) transaction(cp *nodev1.Checkpoint, reset map[string]bool) (Transaction, []*nodev1.Rejection) {
	t := Transaction{Checkpoint: cp, Upserts: map[string][]Resource{}, Removed: map[string][]string{}}
	var bad []*nodev1.Rejection
	for _, typ := range r.order {
		st := r.staged[typ]
		if reset[typ] {
			t.Reset = append(t.Reset, typ)
		} else if len(st.removed) > 0 {
			t.Removed[typ] = slices.Sorted(maps.Keys(st.removed))
		}
		for _, name := range slices.Sorted(maps.Keys(st.upserts)) {
			res := st.upserts[name]
			if reason, ok := st.broken[name]; ok {
				bad = append(bad, &nodev1.Rejection{TypeUrl: typ, Name: name, Version: res.Version, Reason: reason})
				continue
			}
			t.Upserts[typ] = append(t.Upserts[typ], res)
		}
		held := r.types[typ]
		for _, name := range slices.Sorted(maps.Keys(held.broken)) {
			if _, again := st.upserts[name]; !again && !st.removed[name] && !reset[typ] {
				bad = append(bad, &nodev1.Rejection{TypeUrl: typ, Name: name, Version: held.versions[name], Reason: held.broken[name]})
			}
		}
	}
	return t, bad
}

// commit makes the stage part of what is held.
func (r *received) commit(cp *nodev1.Checkpoint, reset map[string]bool) {
	for _, t := range r.order {
		_, digest := r.after(t, reset[t])
		held, st := r.types[t], r.staged[t]
		if reset[t] {
			held.versions = make(map[string]string, len(st.upserts))
			clear(held.broken)
		}
		for name := range st.removed {
			delete(held.versions, name)
			delete(held.broken, name)
		}
		for name, res := range st.upserts {
			held.versions[name] = res.Version
			delete(held.broken, name)
		}
		maps.Copy(held.broken, st.broken)
		held.digest = digest
	}
	r.token, r.floor = cp, cp.GetRevision()
	r.discard()
}
