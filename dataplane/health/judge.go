package health

// verdict is what the results so far come to.
type verdict int

const (
	unknown verdict = iota
	healthy
	unhealthy
)

// judge turns results into a verdict. One success is enough to begin with: a new target serves at once.
type judge struct {
	healthy, unhealthy int // results in a row that change the verdict
	verdict            verdict
	row                int // results in a row that speak against the verdict
}

// result takes the next one and reports whether the verdict changed.
func (j *judge) result(ok bool) bool {
	if ok == (j.verdict == healthy) && j.verdict != unknown {
		j.row = 0
		return false
	}
	if ok && j.verdict == unknown {
		j.verdict, j.row = healthy, 0
		return true
	}
	j.row++
	switch {
	case ok && j.row >= j.healthy:
		j.verdict, j.row = healthy, 0
	case !ok && j.row >= j.unhealthy:
		j.verdict, j.row = unhealthy, 0
	default:
		return false
	}
	return true
}
