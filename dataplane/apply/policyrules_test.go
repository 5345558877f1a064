package apply

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/policy"
)

// slowly reads a policy with protobuf, and gives what is refused in it.
func slowly(body []byte) ([]policy.Rule, *nodev1.Policy, bool) {
	m := &nodev1.Policy{}
	if proto.Unmarshal(body, m) != nil {
		return nil, nil, false
	}
	conditions := func(m *nodev1.PolicyConditions) policy.Conditions {
		c := policy.Conditions{Networks: m.GetNetworks(), Paths: m.GetPaths(), Methods: m.GetMethods(), Countries: m.GetCountries(), ASNs: m.GetAutonomousSystems()}
		for _, h := range m.GetHeaders() {
			c.Headers = append(c.Headers, policy.Header{Name: h.GetName(), Values: h.GetValues()})
		}
		for _, w := range m.GetWindows() {
			c.Windows = append(c.Windows, policy.Window{Days: w.GetDays(), From: w.GetFrom(), To: w.GetTo(), Zone: w.GetZone()})
		}
		return c
	}
	var all []policy.Rule
	for _, r := range m.GetRules() {
		a, err := action(r.GetAction())
		if err != nil {
			return nil, nil, false
		}
		all = append(all, policy.Rule{Action: a, Conditions: conditions(r.GetMatch()), Unless: conditions(r.GetUnless())})
	}
	m.Rules = nil
	return all, m, true
}

// agree fails unless both readers understand the same.
func agree(t *testing.T, body []byte, room *rules) {
	t.Helper()
	want, rest, good := slowly(body)
	m, err := policyMessage(body, room)
	if (err == nil) != good {
		t.Fatalf("%x: read with %v, protobuf's reader takes it: %v", body, err, good)
	}
	if err != nil {
		return
	}
	if !proto.Equal(m, rest) {
		t.Fatalf("%x: the rest is %v, want %v", body, m, rest)
	}
	if got, want := emptied(room.all), emptied(want); !reflect.DeepEqual(got, want) {
		t.Fatalf("%x:\n%+v, want\n%+v", body, got, want)
	}
}

// emptied has no list that is empty without being nil.
func emptied(rules []policy.Rule) (out []policy.Rule) {
	for _, r := range rules {
		for _, c := range []*policy.Conditions{&r.Conditions, &r.Unless} {
			for v, i := reflect.ValueOf(c).Elem(), 0; i < v.NumField(); i++ {
				if v.Field(i).Len() == 0 {
					v.Field(i).SetZero()
				}
			}
		}
		out = append(out, r)
	}
	return out
}

// fill gives every field of a message a value, so that a field that is new and not read is noticed.
func fill(r *rand.Rand, m protoreflect.Message) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		value := func() protoreflect.Value {
			switch f.Kind() {
			case protoreflect.MessageKind:
				v := m.NewField(f)
				if f.IsList() {
					v = v.List().NewElement()
				}
				fill(r, v.Message())
				return v
			case protoreflect.EnumKind:
				return protoreflect.ValueOfEnum(protoreflect.EnumNumber(1 + r.IntN(3)))
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(string(rune('a'+r.IntN(26))) + "é")
			case protoreflect.Uint32Kind:
				return protoreflect.ValueOfUint32(r.Uint32())
			case protoreflect.BytesKind:
				return protoreflect.ValueOfBytes([]byte{byte(r.IntN(256))})
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true)
			case protoreflect.Int64Kind:
				return protoreflect.ValueOfInt64(r.Int64N(1 << 30))
			case protoreflect.Int32Kind:
				return protoreflect.ValueOfInt32(r.Int32N(1000))
			}
			panic(f.FullName())
		}
		if !f.IsList() {
			m.Set(f, value())
			continue
		}
		for range 1 + r.IntN(3) {
			m.Mutable(f).List().Append(value())
		}
	}
}

func TestRulesAreReadAsProtobufReadsThem(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	room := new(rules)
	for range 300 {
		m := &nodev1.Policy{}
		fill(r, m.ProtoReflect())
		body, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		agree(t, body, room)
		if len(room.all) != len(m.GetRules()) || len(room.all[0].Unless.Windows[0].Zone) == 0 {
			t.Fatalf("read %+v", room.all)
		}
		body[r.IntN(len(body))] ^= 1 << r.IntN(8)
		agree(t, body, room)
		agree(t, body[:r.IntN(len(body))], room)
	}
}

func FuzzPolicyMessage(f *testing.F) {
	m := policyMsg()
	m.Rules[0].Unless = &nodev1.PolicyConditions{AutonomousSystems: []uint32{1, 1 << 31}, Headers: []*nodev1.PolicyHeader{{Name: "X-A", Values: []string{"", "b"}}}, Windows: []*nodev1.PolicyWindow{{From: "08:00"}}}
	body, err := proto.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte("\x22\x04\x12\x02\x28\x07")) // a list of numbers that is not packed
	f.Fuzz(func(t *testing.T, body []byte) { agree(t, body, new(rules)) })
}
