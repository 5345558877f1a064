package model

import "time"

// Job is work in the queue, or that was in it lately.
type Job struct {
	ID        int64
	Kind      string
	State     string // available, scheduled, pending, running, retryable; completed, cancelled, discarded
	About     string // what it is about, in words that are nobody's secret
	Attempt   int    // the last one; 0: none yet
	Attempts  int    // as many at most
	Created   time.Time
	Scheduled time.Time // not before
	Attempted time.Time // zero: never
	Finished  time.Time // zero: it is not over
	Replica   string    // that attempted it last
	Problem   string    // that the last attempt which failed ended with
}

// Over reports whether nothing more is done about the job unless somebody asks for it.
func (j *Job) Over() bool { return !j.Finished.IsZero() }
