package model

import "testing"

func TestPorts(t *testing.T) {
	for in, want := range map[string]Ports{
		"5432": {5432, 5432}, "6000-6010": {6000, 6010}, "1-65535": {1, 65535}, "7-7": {7, 7}, "9-8": {9, 8}, // whose order Validate refuses
	} {
		if got, err := ParsePorts(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "-", "1-", "-1", "+1", "01", "65536", "1-2-3", "http", "1 - 2", "1,2", " 1", "٣"} {
		if got, err := ParsePorts(in); err == nil {
			t.Errorf("%q is %v", in, got)
		}
	}
	if s := (Ports{5, 5}).String() + " " + (Ports{5, 6}).String() + (Ports{}).String(); s != "5 5-6" {
		t.Errorf("written as %q", s)
	}
	if (Ports{}).Count() != 0 || (Ports{1, 65535}).Count() != 65535 || (Ports{}).Overlaps(Ports{}) {
		t.Error("counted wrongly")
	}
}

func FuzzParsePorts(f *testing.F) {
	for _, s := range []string{"5432", "6000-6010", "0-1", "65535-65536"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePorts(s)
		if err != nil {
			return
		}
		if again, err := ParsePorts(p.String()); err != nil || again != p || p.First == 0 || p.Last == 0 {
			t.Errorf("%q is %v, which is %v, %v", s, p, again, err)
		}
	})
}
