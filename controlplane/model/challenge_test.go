package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// Whatever prints a challenge leaves its authorization out.
func TestAuthorizationDoesNotPrint(t *testing.T) {
	c := &Challenge{Name: "example.org", Value: "canary"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "challenge", c, "value", c.Value, "row", *c)
	js, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v %#v %q %x %s", c, *c, c.Value, c.Value, c.Value), string(js), log.String()} {
		if strings.Contains(s, "canary") || strings.Contains(s, fmt.Sprintf("%x", "canary")) {
			t.Error(s)
		}
	}
	if string(c.Value) != "canary" {
		t.Error("it is not kept")
	}
}

func TestChallengesWithin(t *testing.T) {
	b := Batch{To: 1, Challenges: map[ChallengeID]*Challenge{}}
	for _, name := range []string{"example.org", "a.example.org", "notexample.org", "example.net"} {
		id := ChallengeID{}.New()
		b.Challenges[id] = &Challenge{ID: id, Name: name}
	}
	m := Empty().Apply(b)
	var got []string
	for c := range m.ChallengesWithin("example.org") {
		got = append(got, c.Name)
		if m.Challenge(c.ID) != c {
			t.Error("not found by id")
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"a.example.org", "example.org"}) || len(slices.Collect(m.Challenges())) != 4 {
		t.Error(got)
	}
	for id := range b.Challenges {
		b.Challenges[id] = nil
	}
	for c := range m.Apply(b).ChallengesWithin("org") {
		t.Errorf("%s is left", c.Name)
	}
}
