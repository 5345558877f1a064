package orders

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/test/bench/measure"
)

// used is the processor time of this process: the database is another one.
func used(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPlan has the planner look at ten thousand certificates that are all due, in a database: what services need, what is due, by which
// requests and ends it is ordered, and what the account's budget has room for. The first plan begins the orders that it has room for;
// the second one finds that there is none. Then it plans once more with room for all.
func BenchmarkPlan(b *testing.B) {
	const n = 10000
	for b.Loop() {
		begin := time.Now()
		s := simulate(b, storetest.DSN(b), begin, model.IssuerLimits{})
		s.issuedBefore(n)
		m, now := s.follow(), begin.Add(70*day)
		plan := func(what string, orders int) {
			b.Helper()
			before, from := used(b), time.Now()
			s.must(s.p.Plan(b.Context(), m, now))
			f := measure.Figure{
				"bench": what, "certificates_due": n, "orders_under_way": s.under(), "cpu_seconds": measure.Round((used(b) - before).Seconds()),
				"seconds": measure.Round(time.Since(from).Seconds()), "want": "cpu_seconds < 1",
			}
			if err := f.Print(os.Stdout); err != nil {
				b.Fatal(err)
			}
			if got := s.under(); got != orders {
				b.Fatalf("%s: %d orders under way, want %d", what, got, orders)
			}
		}
		plan("certificates due on one day planned, as many ordered as the budget has room for", 300)
		plan("the same once more, without room", 300)
		s.issuer.Limits.NewOrders = n
		s.update()
		plan("the same with room for all", n)
	}
}
