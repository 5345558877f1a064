package apply

// How a load is told: over what it was looked at lately, and only when it is another one. Other nodes choose by it
// whom they ask to relay, and what follows each breath would send all of them back and forth.
const (
	loadMemory = 8   // looks until a change is seen for the most part
	loadFactor = 1.5 // by which it has to change
	loadMargin = 16  // thousandths by which it has to change beside that
)

// load is what a node carries, in thousandths of what it can, as others are told.
type load struct {
	mean float64
	told int
}

// observe takes in what is measured now and returns what is to be told.
func (l *load) observe(now int) int {
	l.mean += (float64(now) - l.mean) / loadMemory
	told := float64(l.told)
	if l.mean >= told*loadFactor+loadMargin || l.mean*loadFactor+loadMargin <= told {
		l.told = int(l.mean)
	}
	return l.told
}
