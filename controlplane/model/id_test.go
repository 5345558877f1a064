package model

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// From the TypeID specification, spec/valid.yml of version 0.3.
var typeIDs = []struct{ uuid, text string }{
	{"00000000-0000-0000-0000-000000000000", "00000000000000000000000000"},
	{"00000000-0000-0000-0000-000000000001", "00000000000000000000000001"},
	{"00000000-0000-0000-0000-00000000000a", "0000000000000000000000000a"},
	{"00000000-0000-0000-0000-000000000010", "0000000000000000000000000g"},
	{"00000000-0000-0000-0000-000000000020", "00000000000000000000000010"},
	{"ffffffff-ffff-ffff-ffff-ffffffffffff", "7zzzzzzzzzzzzzzzzzzzzzzzzz"},
	{"0110c853-1d09-52d8-d73e-1194e95b5f19", "0123456789abcdefghjkmnpqrs"},
	{"01890a5d-ac96-774b-bcce-b302099a8057", "01h455vb4pex5vsknk084sn02q"},
}

func TestTypeID(t *testing.T) {
	for _, v := range typeIDs {
		u := uuid.MustParse(v.uuid)
		if got := encode32(u); got != v.text {
			t.Errorf("encode %s = %s, want %s", v.uuid, got, v.text)
		}
		got, err := decode32(v.text)
		if err != nil || got != u {
			t.Errorf("decode %s = %s, %v, want %s", v.text, got, err, v.uuid)
		}
	}
}

func TestParseID(t *testing.T) {
	const good = "site_01h455vb4pex5vsknk084sn02q"
	id, err := SiteID{}.Parse(good)
	if err != nil || id.String() != good {
		t.Fatalf("Parse = %s, %v", id, err)
	}
	for _, s := range []string{
		"", "site", "site_", "site01h455vb4pex5vsknk084sn02q", "node_01h455vb4pex5vsknk084sn02q", "_01h455vb4pex5vsknk084sn02q",
		"site_01h455vb4pex5vsknk084sn02", "site_01h455vb4pex5vsknk084sn02qq", "site_81h455vb4pex5vsknk084sn02q",
		"site_01H455VB4PEX5VSKNK084SN02Q", "site_01h455vb4pex5vsknk084sn02i", "site_01h455vb4pex5vsknk084sn0\u00e9",
		"SITE_01h455vb4pex5vsknk084sn02q", "site_00000000000000000000000000", " " + good, good + " ",
	} {
		if id, err := (SiteID{}).Parse(s); err == nil || !id.IsZero() {
			t.Errorf("Parse(%q) = %s, %v, want an error", s, id, err)
		}
	}
}

func TestIDText(t *testing.T) {
	type object struct {
		ID   NodeID
		Pool PoolID
	}
	in := object{ID: NodeID{}.New()}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"ID":"` + in.ID.String() + `","Pool":""}`; string(b) != want {
		t.Errorf("marshalled %s, want %s", b, want)
	}
	out := object{Pool: PoolID{}.New()}
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("unmarshalled %+v, %v, want %+v", out, err, in)
	}
	if err := json.Unmarshal([]byte(`{"ID":"pool_01h455vb4pex5vsknk084sn02q"}`), &out); err == nil {
		t.Error("a pool's id was read as a node's")
	}
}

func TestIDOrder(t *testing.T) {
	last := TargetID{}.New()
	for range 1000 {
		next := TargetID{}.New()
		if next.Compare(last) <= 0 || next.String() <= last.String() {
			t.Fatalf("%s does not sort after %s", next, last)
		}
		last = next
	}
}

func TestOverlayAddress(t *testing.T) {
	u := uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
	node, connector := OverlayAddress(NodeID{u}), OverlayAddress(ConnectorID{u})
	if want := "fd57:6172:7265:1:bcce:b302:99a:8057"; node.String() != want {
		t.Errorf("node at %s, want %s", node, want)
	}
	if want := "fd57:6172:7265:2:bcce:b302:99a:8057"; connector.String() != want {
		t.Errorf("connector at %s, want %s", connector, want)
	}
	if !Overlay.Contains(node) || !Overlay.Contains(connector) {
		t.Error("outside the overlay")
	}
}

func FuzzParseID(f *testing.F) {
	for _, v := range typeIDs {
		f.Add("site_" + v.text)
	}
	f.Add("site_")
	f.Add("node_01h455vb4pex5vsknk084sn02q")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := SiteID{}.Parse(s)
		if err != nil {
			if !id.IsZero() {
				t.Errorf("an error and %s", id)
			}
			return
		}
		if id.String() != s {
			t.Errorf("%q is read as %s", s, id)
		}
		if !strings.HasPrefix(s, "site_") {
			t.Errorf("%q accepted", s)
		}
	})
}

func FuzzID(f *testing.F) {
	f.Add([]byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := uuid.FromBytes(b)
		if err != nil {
			return
		}
		if got, err := decode32(encode32(u)); err != nil || got != u {
			t.Errorf("%s comes back as %s, %v", u, got, err)
		}
	})
}
