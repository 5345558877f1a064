package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/shared/resource"
)

// A reader of changes, as push is one: it holds what it was sent.
type held struct {
	resources map[Ref]*Resource
	problems  map[Ref]string
}

// take applies changes and objects to what a reader could not make sense of.
func (h *held) take(ch Changes) error {
	if ch.Full {
		h.resources, h.problems = map[Ref]*Resource{}, map[Ref]string{}
	}
	for _, r := range ch.Removed {
		if h.resources[r] == nil {
			return fmt.Errorf("%v is removed, but was never there", r)
		}
		delete(h.resources, r)
	}
	for _, r := range ch.Solved {
		if _, ok := h.problems[r]; !ok {
			return fmt.Errorf("%v is solved, but had no problem", r)
		}
		delete(h.problems, r)
	}
	for _, p := range ch.Problems {
		h.problems[p.Ref] = p.Err.Error()
	}
	for _, r := range ch.Upserts {
		if o := h.resources[r.Ref()]; o != nil && o.same(r) {
			return fmt.Errorf("%v is sent again without a change", r.Ref())
		}
		if !slices.IsSorted(r.Scopes) || len(slices.Compact(slices.Clone(r.Scopes))) != len(r.Scopes) || len(r.Scopes) == 0 {
			return fmt.Errorf("%v has scopes %q", r.Ref(), r.Scopes)
		}
		if r.Version != resource.Version(r.TypeURL, Epoch, r.Any.Value) {
			return fmt.Errorf("%v has a version of other content", r.Ref())
		}
		if r.Cause != ch.Revision {
			return fmt.Errorf("%v is caused by %d in a step to %d", r.Ref(), r.Cause, ch.Revision)
		}
		h.resources[r.Ref()] = r
	}
	return nil
}

// set is all that is held, so that two readers can be compared.
func (h *held) set() []string {
	var out []string
	for ref, r := range h.resources {
		out = append(out, fmt.Sprintf("%s %s %s %s %x", ref.TypeURL, ref.Name, r.Version, strings.Join(r.Scopes, ","), r.Any.Value))
	}
	for ref, err := range h.problems {
		out = append(out, fmt.Sprintf("%s %s: %s", ref.TypeURL, ref.Name, err))
	}
	slices.Sort(out)
	return out
}

func scratch(t *testing.T, m *model.Model, all model.Batch) []string {
	t.Helper()
	var h held
	if err := h.take(New(modeltest.Open).Build(nil, m, all)); err != nil {
		t.Fatal(err)
	}
	return h.set()
}

// TestIncremental: whatever happens, in whatever batches, a reader that followed holds the same as one
// that started now.
func TestIncremental(t *testing.T) {
	for seed := range uint64(30) {
		w := modeltest.NewWorld(seed)
		rnd := rand.New(rand.NewPCG(seed, 1))
		single, joined := New(modeltest.Open), New(modeltest.Open)
		var one, many held // follow step by step, and in batches of several steps
		m := model.Empty().Apply(w.All())
		behind := m
		for _, h := range []*held{&one, &many} {
			if err := h.take(single.Build(nil, m, w.All())); err != nil {
				t.Fatal(err)
			}
		}
		var waiting []model.Batch
		for i := range 80 {
			b := w.Step(4)
			next := m.Apply(b)
			if err := one.take(single.Build(m, next, b)); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, i, err)
			}
			m, waiting = next, append(waiting, b)
			want := scratch(t, m, w.All())
			if diff := cmp.Diff(want, one.set()); diff != "" {
				t.Fatalf("seed %d step %d: -from scratch +step by step:\n%s", seed, i, diff)
			}
			if rnd.IntN(5) > 0 {
				continue
			}
			b = modeltest.Join(waiting...)
			if rnd.IntN(4) == 0 {
				b = w.All() // too far behind: reload
			}
			next = behind.Apply(b)
			if err := many.take(joined.Build(behind, next, b)); err != nil {
				t.Fatalf("seed %d step %d in batches: %v", seed, i, err)
			}
			behind, waiting = next, nil
			if diff := cmp.Diff(want, many.set()); diff != "" {
				t.Fatalf("seed %d step %d: -from scratch +in batches:\n%s", seed, i, diff)
			}
		}
	}
}

func TestBuildIsOrdered(t *testing.T) {
	w := modeltest.NewWorld(7)
	m := model.Empty()
	for range 200 {
		m = m.Apply(w.Step(6))
	}
	c := New(modeltest.Open)
	first := c.Build(nil, m, w.All())
	if !slices.IsSortedFunc(first.Upserts, func(a, b *Resource) int { return a.Ref().Compare(b.Ref()) }) {
		t.Error("upserts are not in order")
	}
	for range 5 {
		again := c.Build(nil, m, w.All())
		if !slices.EqualFunc(first.Upserts, again.Upserts, func(a, b *Resource) bool {
			return a.same(b) && bytes.Equal(a.Any.Value, b.Any.Value)
		}) {
			t.Fatal("the same model gave another answer")
		}
	}
	gone := c.Build(m, model.Empty(), model.Batch{Reload: true})
	if len(gone.Removed) != len(first.Upserts) || len(gone.Upserts) != 0 || len(gone.Solved) != len(first.Problems) {
		t.Fatalf("%d removed of %d, %d solved of %d", len(gone.Removed), len(first.Upserts), len(gone.Solved), len(first.Problems))
	}
	for i := 1; i < len(gone.Removed); i++ {
		if order[gone.Removed[i-1].TypeURL] < order[gone.Removed[i].TypeURL] {
			t.Fatalf("%v is removed before %v", gone.Removed[i-1], gone.Removed[i])
		}
	}
}

func TestCompilerIsPure(t *testing.T) {
	sealed := errors.New("sealed elsewhere")
	c := New(func([]byte, string) ([]byte, error) { return nil, sealed })
	b, m := step(t, nil, everyType)
	ch := c.Build(nil, m, b)
	// A gossip key that can't be opened is the worker's to report: nodes get the rest of their configuration.
	if len(ch.Problems) != 1 || ch.Problems[0].Ref.TypeURL != resource.Certificate || !errors.Is(ch.Problems[0].Err, sealed) {
		t.Fatalf("problems %v, want one about the certificate", ch.Problems)
	}
	if want := len(New(modeltest.Open).Build(nil, m, b).Upserts) - 1; len(ch.Upserts) != want {
		t.Errorf("%d resources built, want all %d others", len(ch.Upserts), want)
	}
}

func TestOpenGetsTheRow(t *testing.T) {
	b, m := step(t, nil, everyType)
	calls := map[string]int{}
	New(func(sealed []byte, aad string) ([]byte, error) {
		calls[string(sealed)+" "+aad]++
		return []byte("key"), nil
	}).Build(nil, m, b)
	want := map[string]int{
		"sealed:www " + model.CertificateID{UUID: modeltest.UUID("certificate", "www")}.String(): 1,
		"sealed:k1 " + model.GossipKeyID{UUID: modeltest.UUID("gossipkey", "k1")}.String():       2, // for two nodes
	}
	if !maps.Equal(calls, want) {
		t.Errorf("opened %v, want %v", calls, want)
	}
}

// Zones allow the authorities of all issuers, in one order; as soon as one is not known by a domain, any.
func TestZoneIssuers(t *testing.T) {
	b, m := step(t, nil, "domain example.org organization=acme pool=edge")
	with := func(was *model.Model, domains ...[]string) (*model.Model, []*Resource) {
		more := model.Batch{From: was.Revision(), To: was.Revision() + 1, Issuers: map[model.IssuerID]*model.Issuer{}}
		for i, d := range domains {
			id := model.IssuerID{UUID: uuid.UUID{15: byte(i + 1)}}
			more.Issuers[id] = &model.Issuer{ID: id, DirectoryURL: "https://ca.example", CAAIdentities: d}
		}
		next := was.Apply(more)
		return next, New(modeltest.Open).Build(was, next, more).Upserts
	}
	caa := func(r []*Resource) []string {
		var msg nodev1.Zone
		if len(r) != 1 {
			t.Fatalf("%d resources", len(r))
		}
		if err := r[0].Any.UnmarshalTo(&msg); err != nil {
			t.Fatal(err)
		}
		return msg.CaaIssuers
	}
	if got := caa(New(modeltest.Open).Build(nil, m, b).Upserts); got != nil {
		t.Errorf("without issuers: %v", got)
	}
	m, r := with(m, []string{"b.example", "a.example"}, []string{"b.example"})
	if got := caa(r); !slices.Equal(got, []string{"a.example", "b.example"}) {
		t.Errorf("%v", got)
	}
	if _, r := with(m, []string{"a.example"}, []string{"b.example"}); len(r) != 0 {
		t.Errorf("%d zones are written anew though they say the same", len(r))
	}
	if _, r := with(m, []string{"a.example"}, nil); caa(r) != nil {
		t.Errorf("one that is not known by a domain: %v", caa(r))
	}
}

// A zone that names accounts changes with them, and its records for older nodes do not; others don't change.
func TestZoneAccounts(t *testing.T) {
	b, m := step(t, nil, "domain example.org organization=acme pool=edge caa-account\ndomain example.net organization=acme pool=edge")
	c := New(modeltest.Open)
	c.Build(nil, m, b)
	with := func(account string) []string {
		id := model.IssuerID{UUID: uuid.UUID{15: 1}}
		more := model.Batch{From: m.Revision(), To: m.Revision() + 1, Issuers: map[model.IssuerID]*model.Issuer{
			id: {ID: id, DirectoryURL: "https://ca.example", CAAIdentities: []string{"ca.example"}, AccountURL: account},
		}}
		next := m.Apply(more)
		var got []string
		for _, r := range c.Build(m, next, more).Upserts {
			var msg nodev1.Zone
			if err := r.Any.UnmarshalTo(&msg); err != nil {
				t.Fatal(err)
			}
			for _, p := range msg.Caa {
				got = append(got, msg.Apex+" "+p.Tag+" "+p.Value)
			}
			if !slices.Equal(msg.CaaIssuers, []string{"ca.example"}) || msg.Apex == "example.net" && msg.Caa != nil {
				t.Errorf("%v", &msg)
			}
		}
		m = next
		return got
	}
	if got := with(""); !slices.Equal(got, []string{"example.org issue ca.example", "example.org issuewild ca.example"}) {
		t.Errorf("no account: %q", got)
	}
	for _, account := range []string{"https://ca.example/1", "https://ca.example/2"} {
		if got := with(account); len(got) != 2 || !strings.HasPrefix(got[0], "example.org issue ca.example; accounturi="+account+"; validationmethods=dns-01,") {
			t.Errorf("%s: %q", account, got)
		}
	}
	if got := with("https://ca.example/2"); got != nil {
		t.Errorf("nothing has changed: %q", got)
	}
}
