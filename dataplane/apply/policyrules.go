package apply

import (
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/policy"
)

// Rules come by the million, and what protobuf makes of one is garbage as soon as it is compiled. So they are read here from
// the bytes, into room that is used again. Everything else of a policy is protobuf's business.

// errWire is about bytes that are no message.
var errWire = errors.New("not what protobuf writes")

// The fields of the messages that are read here. That none is missing is a test.
const (
	policyRules = 4 // of Policy

	ruleAction, ruleMatch, ruleUnless                                         = 1, 2, 3             // of PolicyRule
	inNetworks, inPaths, inMethods, inCountries, inASNs, inHeaders, inWindows = 1, 2, 3, 4, 5, 6, 7 // of PolicyConditions
	headerName, headerValues                                                  = 1, 2                // of PolicyHeader
	windowDays, windowFrom, windowTo, windowZone                              = 1, 2, 3, 4          // of PolicyWindow
)

// rules is room for those of a policy.
type rules struct{ all []policy.Rule }

var ruleRoom = sync.Pool{New: func() any { return new(rules) }}

// next is room for another rule, without conditions.
func (r *rules) next() *policy.Rule {
	if len(r.all) == cap(r.all) {
		r.all = append(r.all, policy.Rule{})
		return &r.all[len(r.all)-1]
	}
	r.all = r.all[:len(r.all)+1]
	p := &r.all[len(r.all)-1]
	for _, c := range [...]*policy.Conditions{&p.Conditions, &p.Unless} {
		*c = policy.Conditions{
			Networks: c.Networks[:0], Paths: c.Paths[:0], Methods: c.Methods[:0], Countries: c.Countries[:0],
			ASNs: c.ASNs[:0], Headers: c.Headers[:0], Windows: c.Windows[:0],
		}
	}
	return p
}

// policyMessage reads a Policy: its rules to room, what else there is to a message.
func policyMessage(body []byte, room *rules) (*nodev1.Policy, error) {
	room.all = room.all[:0]
	var others []byte
	for r := (wire{body, string(body)}); len(r.octets) > 0; {
		before := r.octets
		f, err := r.field()
		if err != nil {
			return nil, err
		}
		if f.num != policyRules || f.typ != protowire.BytesType {
			others = append(others, before[:len(before)-len(r.octets)]...)
			continue
		}
		i, rule := len(room.all), room.next()
		if err := readRule(f.wire, rule); err != nil {
			return nil, fmt.Errorf("rules[%d]%w", i, err)
		}
	}
	m := &nodev1.Policy{}
	if err := proto.Unmarshal(others, m); err != nil {
		return nil, errWire
	}
	return m, nil
}

func readRule(r wire, to *policy.Rule) error {
	var did nodev1.PolicyAction
	for len(r.octets) > 0 {
		f, err := r.field()
		switch {
		case err != nil:
		case f.num == ruleAction && f.typ == protowire.VarintType:
			did = nodev1.PolicyAction(int32(f.number))
		case f.num == ruleMatch && f.typ == protowire.BytesType:
			err = readConditions(f.wire, &to.Conditions)
		case f.num == ruleUnless && f.typ == protowire.BytesType:
			err = readConditions(f.wire, &to.Unless)
		}
		if err != nil {
			return fmt.Errorf(": %w", err)
		}
	}
	var err error
	if to.Action, err = action(did); err != nil {
		return fmt.Errorf(".action: %w", err)
	}
	return nil
}

func readConditions(r wire, to *policy.Conditions) error {
	for len(r.octets) > 0 {
		f, err := r.field()
		if err != nil {
			return err
		}
		switch f.num {
		case inNetworks:
			err = f.add(&to.Networks)
		case inPaths:
			err = f.add(&to.Paths)
		case inMethods:
			err = f.add(&to.Methods)
		case inCountries:
			err = f.add(&to.Countries)
		case inASNs:
			err = f.addNumbers(&to.ASNs)
		case inHeaders:
			if f.typ == protowire.BytesType {
				to.Headers = append(to.Headers, policy.Header{})
				err = readHeader(f.wire, &to.Headers[len(to.Headers)-1])
			}
		case inWindows:
			if f.typ == protowire.BytesType {
				to.Windows = append(to.Windows, policy.Window{})
				err = readWindow(f.wire, &to.Windows[len(to.Windows)-1])
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readHeader(r wire, to *policy.Header) error {
	for len(r.octets) > 0 {
		f, err := r.field()
		if err != nil {
			return err
		}
		switch f.num {
		case headerName:
			err = f.set(&to.Name)
		case headerValues:
			err = f.add(&to.Values)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func readWindow(r wire, to *policy.Window) error {
	for len(r.octets) > 0 {
		f, err := r.field()
		if err != nil {
			return err
		}
		switch f.num {
		case windowDays:
			err = f.add(&to.Days)
		case windowFrom:
			err = f.set(&to.From)
		case windowTo:
			err = f.set(&to.To)
		case windowZone:
			err = f.set(&to.Zone)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wire is the rest of a message. Text is the same octets: what is cut from it needs no copy of its own.
type wire struct {
	octets []byte
	text   string
}

// wireField is a field, with its octets or its number.
type wireField struct {
	num protowire.Number
	typ protowire.Type
	wire
	number uint64
}

func (r *wire) field() (f wireField, err error) {
	num, typ, n := protowire.ConsumeTag(r.octets)
	if n < 0 {
		return f, errWire
	}
	r.skip(n)
	f.num, f.typ = num, typ
	switch typ {
	case protowire.BytesType:
		if f.octets, n = protowire.ConsumeBytes(r.octets); n >= 0 {
			f.text = r.text[n-len(f.octets) : n]
		}
	case protowire.VarintType:
		f.number, n = protowire.ConsumeVarint(r.octets)
	default:
		n = protowire.ConsumeFieldValue(num, typ, r.octets)
	}
	if n < 0 {
		return f, errWire
	}
	r.skip(n)
	return f, nil
}

func (r *wire) skip(n int) { r.octets, r.text = r.octets[n:], r.text[n:] }

// set takes a string that replaces one of before.
func (f *wireField) set(to *string) error {
	if f.typ != protowire.BytesType {
		return nil // another field than ours, of a release that we don't know
	}
	if !utf8.ValidString(f.text) {
		return errWire
	}
	*to = f.text
	return nil
}

// add takes another string of a list.
func (f *wireField) add(to *[]string) error {
	if f.typ != protowire.BytesType {
		return nil
	}
	*to = append(*to, "")
	return f.set(&(*to)[len(*to)-1])
}

// addNumbers takes some of a list of uint32, written either way.
func (f *wireField) addNumbers(to *[]uint32) error {
	switch f.typ {
	case protowire.VarintType:
		*to = append(*to, uint32(f.number))
	case protowire.BytesType:
		for b := f.octets; len(b) > 0; {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return errWire
			}
			*to, b = append(*to, uint32(v)), b[n:]
		}
	}
	return nil
}
