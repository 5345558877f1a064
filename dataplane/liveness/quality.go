package liveness

import "time"

// Quality is what was measured of a path.
type Quality struct {
	RTT      time.Duration // smoothed; 0: not measured
	Variance time.Duration // mean deviation of RTT
	Loss     float64       // share of the last questions without an answer, 0..1
}

// sample measures a round trip, unless it says more about an outage than about the path: what was asked during
// one may wait for its end, in WireGuard for a session or in a connection that sends again.
func (j *Judge) sample(rtt, sent time.Duration) {
	if rtt > silenceMost || rtt >= j.late() && (j.state == Down || sent < j.rose) {
		return
	}
	j.measure(rtt)
}

// measure is RFC 6298 §2.2 and §2.3.
func (j *Judge) measure(rtt time.Duration) {
	rtt = max(rtt, time.Microsecond)
	if j.srtt == 0 {
		j.srtt, j.rttvar = rtt, rtt/2
		return
	}
	j.rttvar += ((j.srtt - rtt).Abs() - j.rttvar) / 4
	j.srtt = max(j.srtt+(rtt-j.srtt)/8, time.Microsecond)
}

// count keeps the fate of one question. Those of an outage say nothing of the path before it or after: neither what was
// asked until there was an answer, nor by whose silence the outage was found.
func (j *Judge) count(lost bool) {
	if j.state != Up {
		return
	}
	i := j.fate % lossWindow
	if j.fate >= lossWindow && j.fates[i] {
		j.lost--
	}
	j.fates[i] = lost
	if lost {
		j.lost++
	}
	j.fate++
}

// Quality gives the measurements so far.
func (j *Judge) Quality() Quality {
	q := Quality{RTT: j.srtt, Variance: j.rttvar}
	lost, n := j.lost, min(j.fate, lossWindow)
	if silent := j.overdue(); silent > 0 && j.state == Down {
		lost, n = lost+silent, n+silent
	}
	if n > 0 {
		q.Loss = float64(lost) / float64(n)
	}
	return q
}
