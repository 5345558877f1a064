package policy

import (
	"fmt"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // a node has the zones of the release that it is of, not of its system
)

const dayMinutes = 24 * 60

// window is a compiled Window.
type window struct {
	days     uint8 // bit of each time.Weekday on which it begins
	from, to int   // minutes
	zone     *time.Location
}

var dayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// zones keeps what LoadLocation has parsed: there are some hundred names, and no others get in.
var zones sync.Map

func compileWindow(field string, w Window) (out window, err error) {
	for i, d := range w.Days {
		n := slices.Index(dayNames[:], d)
		if n < 0 {
			return out, wrong(fmt.Sprintf("%s.days[%d]", field, i), "%q: want mon, tue, wed, thu, fri, sat or sun", d)
		}
		out.days |= 1 << n
	}
	if len(w.Days) == 0 {
		out.days = 1<<7 - 1
	}
	if out.from, err = minutes(w.From); err != nil || out.from == dayMinutes {
		return out, wrong(field+".from", "%q: want a time such as 08:30", w.From)
	}
	if out.to, err = minutes(w.To); err != nil || out.to == out.from {
		return out, wrong(field+".to", "%q: want a time such as 17:00, other than from; 24:00 is the end of the day", w.To)
	}
	if z, ok := zones.Load(w.Zone); ok {
		out.zone = z.(*time.Location)
		return out, nil
	}
	if w.Zone == "" || w.Zone == "Local" {
		return out, wrong(field+".zone", "missing: want one such as Europe/Zurich or UTC")
	}
	if out.zone, err = time.LoadLocation(w.Zone); err != nil {
		return out, wrong(field+".zone", "%q is no time zone: want one such as Europe/Zurich or UTC", w.Zone)
	}
	zones.Store(w.Zone, out.zone)
	return out, nil
}

func minutes(s string) (int, error) {
	if s == "24:00" {
		return dayMinutes, nil
	}
	if len(s) != len("15:04") {
		return 0, fmt.Errorf("%q", s)
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err
}

// contains expects the time of day in the window's zone.
func (w *window) contains(day time.Weekday, minute int) bool {
	if w.from < w.to {
		return w.on(day) && minute >= w.from && minute < w.to
	}
	return w.on(day) && minute >= w.from || w.on((day+6)%7) && minute < w.to
}

func (w *window) on(d time.Weekday) bool { return w.days&(1<<d) != 0 }
