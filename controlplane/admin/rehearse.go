package admin

import (
	"context"
	"errors"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Rehearsal is a write that is taken back as soon as it is known what it would do.
type Rehearsal struct {
	// Batch is what nodes would hear of: From is the revision before it.
	Batch model.Batch
}

type rehearsalKey struct{}

// Rehearse makes the writes of a context rehearsals: each does all it does, and none of it stays.
func Rehearse(ctx context.Context, r *Rehearsal) context.Context {
	return context.WithValue(ctx, rehearsalKey{}, r)
}

// errRehearsed takes a transaction back.
var errRehearsed = errors.New("a rehearsal, nothing stays")

// rehearsed ends a transaction that is to leave nothing behind.
func rehearsed(ctx context.Context, tx *store.Tx) (err error) {
	r, ok := ctx.Value(rehearsalKey{}).(*Rehearsal)
	if !ok {
		return nil
	}
	if r.Batch, err = tx.Pending(ctx, maxRehearsed); err != nil {
		return err
	}
	return errRehearsed
}

// maxRehearsed is how many changed rows are told apart; of more, all is read.
const maxRehearsed = 100_000
