package resource

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTypes(t *testing.T) {
	for _, types := range [][]string{NodeTypes(), ConnectorTypes()} {
		if types[len(types)-1] != Checkpoint {
			t.Errorf("%v does not end with Checkpoint", types)
		}
		if sorted := slices.Sorted(slices.Values(types)); len(slices.Compact(sorted)) != len(types) {
			t.Errorf("%v has one twice", types)
		}
	}
	// The library's response channel of a stream holds twenty, and push puts one of each type there at most.
	if n := len(NodeTypes()); n > 20 {
		t.Errorf("%d types of nodes", n)
	}
	NodeTypes()[0] = "changed"
	if NodeTypes()[0] != NodeConfig {
		t.Error("callers share the list")
	}
	if !Ephemeral(NodeHealth) || !Ephemeral(TargetHealth) || Ephemeral(Node) || Ephemeral(Checkpoint) {
		t.Error("NodeHealth and TargetHealth alone are presence")
	}
}

func TestNames(t *testing.T) {
	if got := Name("route", "org_1", "service_2"); got != "route/org_1/service_2" {
		t.Error(got)
	}
	for in, want := range map[string]string{Route: "Route", NodeConfig: "NodeConfig", "Zone": "Zone", "": "", "a/b": "b"} {
		if got := ShortType(in); got != want {
			t.Errorf("ShortType(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	// Golden: both ends, and every release, must agree.
	if got, want := Version(Route, 1, []byte("content")), golden; got != want {
		t.Errorf("version %s, want %s", got, want)
	}
	seen := map[string]string{}
	for _, typeURL := range []string{Route, Zone, Route + "s"} {
		for _, epoch := range []uint32{0, 1, 256} {
			for _, content := range []string{"", "a", "\x00a", "\x00\x00\x00\x01"} {
				what := fmt.Sprintf("%q %d %q", typeURL, epoch, content)
				v := Version(typeURL, epoch, []byte(content))
				if len(v) != 16 {
					t.Errorf("%s: %q has %d characters", what, v, len(v))
				}
				if o, ok := seen[v]; ok {
					t.Errorf("%s and %s have the same version", what, o)
				}
				seen[v] = what
			}
		}
	}
}

const golden = "FpIvhwolf29ATzeL"

type entry struct{ name, version string }

func sum(entries ...entry) Digest {
	var d Digest
	for _, e := range entries {
		d.Add(e.name, e.version)
	}
	return d
}

func TestDigest(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var all []entry
	for i := range 200 {
		all = append(all, entry{fmt.Sprintf("route/%d", i), fmt.Sprint(rnd.Uint64())})
	}
	want := sum(all...)
	if want == (Digest{}) || bytes.Equal(want.Bytes(), make([]byte, 16)) {
		t.Fatal("200 entries look like none")
	}
	for range 20 {
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if sum(all...) != want {
			t.Fatal("the order shows")
		}
		cut := rnd.IntN(len(all))
		left, right := sum(all[:cut]...), sum(all[cut:]...)
		left.Merge(right)
		if left != want {
			t.Fatal("the sum of the parts is another")
		}
		rest := want
		for _, e := range all[:cut] {
			rest.Remove(e.name, e.version)
		}
		if rest != right {
			t.Fatal("removing is not the reverse of adding")
		}
	}
	if sum(entry{"a", "b"}) == sum(entry{"b", "a"}) || sum(entry{"ab", ""}) == sum(entry{"a", "b"}) {
		t.Error("name and version run into each other")
	}
	a, b := sum(entry{"a", "1"}), sum(entry{"a", "2"})
	if a == b {
		t.Error("a version does not show")
	}
}

// TestDigestCarry adds and removes at the edges of both halves.
func TestDigestCarry(t *testing.T) {
	const top = ^uint64(0)
	values := []Digest{{0, 0}, {0, 1}, {0, top}, {1, 0}, {1, top}, {top, 0}, {top, top}, {1 << 63, 1 << 63}}
	for _, a := range values {
		for _, b := range values {
			ab, ba := a, b
			ab.Merge(b)
			ba.Merge(a)
			if ab != ba {
				t.Errorf("%v + %v: %v and %v", a, b, ab, ba)
			}
			lo := a.lo + b.lo
			hi := a.hi + b.hi
			if lo < a.lo {
				hi++
			}
			if ab != (Digest{hi, lo}) {
				t.Errorf("%v + %v = %v", a, b, ab)
			}
		}
		d := a // wrapping around and back again
		for range 300 {
			d.Add("name", "version")
		}
		for range 300 {
			d.Remove("name", "version")
		}
		if d != a {
			t.Errorf("%v comes back as %v", a, d)
		}
	}
}

func TestDigestBytes(t *testing.T) {
	b := Digest{1, 2}.Bytes()
	if len(b) != 16 || binary.BigEndian.Uint64(b) != 1 || binary.BigEndian.Uint64(b[8:]) != 2 {
		t.Errorf("%x", b)
	}
}

func FuzzDigest(f *testing.F) {
	f.Add("route/a", "1", "route/b", "2", uint64(0), uint64(0))
	f.Add("", "", "", "", ^uint64(0), ^uint64(0))
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string, hi, lo uint64) {
		start := Digest{hi, lo}
		d := start
		d.Add(n1, v1)
		one := d
		d.Add(n2, v2)
		other := start
		other.Add(n2, v2)
		other.Add(n1, v1)
		if d != other {
			t.Error("the order shows")
		}
		d.Remove(n2, v2)
		if d != one {
			t.Error("removing is not the reverse of adding")
		}
		d.Remove(n1, v1)
		if d != start {
			t.Error("the empty set is not empty")
		}
	})
}
