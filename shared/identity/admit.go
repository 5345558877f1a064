package identity

import "context"

// Admit says who the caller of a service is, and refuses, by a gRPC status, whom the cluster does not trust; trusted ends when it
// does so no more, or with ctx.
type Admit func(ctx context.Context) (who Identity, trusted context.Context, err error)
