package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenedge/warren/controlplane/signin/password"
)

// What a thousand people who sign in at once do to everybody else: calls with a session go on meanwhile, and the hashes
// take the memory of those that are computed at a time.
func BenchmarkSignIn(b *testing.B) {
	const people = 1000
	for b.Loop() {
		r := newRig(b)
		signedIn := r.set(b)
		before, done := r.hashes(b), make(chan struct{})
		var memory uint64
		var calls []time.Duration
		var watch, crowd sync.WaitGroup
		watch.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				start := time.Now()
				if !signedIn.signedIn() {
					b.Error("signed out")
				}
				calls = append(calls, time.Since(start))
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				memory = max(memory, m.HeapInuse)
				time.Sleep(20 * time.Millisecond)
			}
		})
		let := make([]int, people)
		for i := range people {
			crowd.Go(func() {
				form := url.Values{"email": {fmt.Sprintf("user%d@example.org", i)}, "password": {another}}
				req := httptest.NewRequest(http.MethodPost, home+"/sign-in", strings.NewReader(form.Encode()))
				req.Header = http.Header{"Origin": {home}, "Content-Type": {"application/x-www-form-urlencoded"}}
				req.RemoteAddr = fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)
				rec := httptest.NewRecorder()
				r.pages.ServeHTTP(rec, req)
				let[i] = rec.Code
			})
		}
		crowd.Wait()
		close(done)
		watch.Wait()
		slices.Sort(calls)
		told := 0
		for _, s := range let {
			if s == http.StatusServiceUnavailable || s == http.StatusTooManyRequests {
				told++
			}
		}
		line, err := json.Marshal(map[string]any{
			"what": "1,000 people sign in at once: p99 of other calls, s (wanted: 1); heap in use at most, MiB, and its cap; hashes computed; told to come again",
			"p99":  calls[len(calls)*99/100].Seconds(), "heap": memory >> 20, "heap_cap": int(password.Parameters.Memory) * (runtime.NumCPU() + 6) >> 10, "hashes": r.hashes(b) - before, "again": told, "calls": len(calls),
		})
		if err != nil {
			b.Fatal(err)
		}
		fmt.Printf("%s\n", line)
	}
}
