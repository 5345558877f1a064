package push

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/identity"
)

// Reader is a node or connector.
type Reader struct {
	Kind identity.Kind
	ID   string
}

func (r Reader) attr() slog.Attr { return slog.String(string(r.Kind), r.ID) }

func (r Reader) compare(o Reader) int {
	return cmp.Or(cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.ID, o.ID))
}

// Rejection is a resource that a reader did not apply, at one version.
type Rejection struct {
	Version  string
	Reason   string
	Revision model.Revision // of the checkpoint that the answer was to
}

// readers is what is known about readers beyond their streams. Its lock is taken last.
type readers struct {
	mu     sync.Mutex
	known  map[Reader]*readerState
	trusts map[Reader]map[*trust]struct{}
}

type readerState struct {
	stream   *stream        // nil: not connected here
	applied  model.Revision // newest checkpoint that it acknowledged here
	rejected map[snapshot.Ref]rejection
	cut      cut // of its last answer
}

// rejection is a Rejection and the stream on which it came. On that stream the same version is not sent
// again. Another stream may have to: a reader that lost its files has to be able to receive it once more.
type rejection struct {
	Rejection
	stream *stream
}

// trust is what ends when a reader is no longer trusted.
type trust struct{ cancel context.CancelCauseFunc }

func (r *readers) init() {
	r.known, r.trusts = map[Reader]*readerState{}, map[Reader]map[*trust]struct{}{}
}

// take makes a stream the one of its reader, and returns the one before.
func (r *readers) take(st *stream) (old *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.known[st.reader]
	if s == nil {
		s = &readerState{rejected: map[snapshot.Ref]rejection{}}
		r.known[st.reader] = s
	}
	old, s.stream = s.stream, st
	return old
}

func (r *readers) leave(st *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.known[st.reader]; s != nil && s.stream == st {
		s.stream = nil
	}
}

// applied records the end of a transaction. A reader answers with all that it rejects now, so what it does not
// repeat it has come to apply, although the version is the same: a route whose certificate came later.
// Rejections of what the reader cannot have are not kept.
func (r *readers) applied(st *stream, tx *transaction, rejected []*nodev1.Rejection, omitted int) {
	x := st.srv.index
	rev := model.Revision(tx.checkpoint.GetRevision())
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.known[st.reader]
	if s == nil || s.stream != st {
		return
	}
	s.applied = rev
	x.mu.RLock()
	defer x.mu.RUnlock()
	before := s.rejected
	s.rejected, s.cut = map[snapshot.Ref]rejection{}, cut{omitted: omitted}
	for _, rej := range rejected {
		ref := snapshot.Ref{TypeURL: rej.GetTypeUrl(), Name: rej.GetName()}
		s.cut.after(ref)
		if x.find(st.scopes, ref) == nil {
			continue
		}
		s.rejected[ref] = rejection{Rejection{Version: clip(rej.GetVersion()), Reason: clipReason(rej.GetReason()), Revision: rev}, st}
		if old := before[ref]; old.stream == st && old.Version == clip(rej.GetVersion()) && old.Reason == clipReason(rej.GetReason()) {
			continue // logged already
		}
		st.srv.log.Warn("resource rejected", st.reader.attr(), "resource", ref.Name, "version", clip(rej.GetVersion()), "rev", rev, "err", clip(rej.GetReason()))
	}
}

func clipReason(s string) string { return s[:min(len(s), 1024)] }

// quarantined reports whether a reader has rejected this very content on this stream.
func (r *readers) quarantined(st *stream, res *snapshot.Resource) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.known[st.reader]
	if s == nil {
		return false
	}
	old, ok := s.rejected[res.Ref()]
	return ok && old.stream == st && old.Version == res.Version
}

// all lists the readers with a stream or a trust to watch over.
func (r *readers) all() []Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Collect(maps.Keys(r.known))
	for reader := range r.trusts {
		if r.known[reader] == nil {
			list = append(list, reader)
		}
	}
	return list
}

// revoke forgets a reader and ends all that stands on it.
func (r *readers) revoke(reader Reader) {
	r.mu.Lock()
	s := r.known[reader]
	trusts := r.trusts[reader]
	delete(r.known, reader)
	delete(r.trusts, reader)
	r.mu.Unlock()
	for t := range trusts {
		t.cancel(errRevoked)
	}
	if s != nil && s.stream != nil {
		s.stream.end(errRevoked)
	}
}

func (r *readers) watch(ctx context.Context, reader Reader) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &trust{cancel}
	r.mu.Lock()
	if r.trusts[reader] == nil {
		r.trusts[reader] = map[*trust]struct{}{}
	}
	r.trusts[reader][t] = struct{}{}
	r.mu.Unlock()
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.trusts[reader], t)
		if len(r.trusts[reader]) == 0 {
			delete(r.trusts, reader)
		}
	})
	return ctx
}

// checkReaders looks at every reader of this replica with the newest model: those that it does not trust
// any more end, those whose scopes changed get their new view.
func (s *Server) checkReaders() {
	for _, reader := range s.readers.all() {
		scopes, err := s.may(reader)
		if err != nil {
			s.log.Info("reader is no longer trusted", reader.attr())
			s.readers.revoke(reader)
			continue
		}
		if st := s.readers.stream(reader); st != nil {
			st.mu.Lock()
			switch {
			case slices.Equal(st.scopes, scopes):
			case st.tx != nil: // what it may not read any more may be under way
				st.endLocked(errMoved)
			default:
				st.advance(false)
			}
			st.mu.Unlock()
		}
	}
}

func (r *readers) stream(reader Reader) *stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.known[reader]; s != nil {
		return s.stream
	}
	return nil
}

// scopes are those of a reader at a model, or a gRPC status.
func (s *Server) scopes(m *model.Model, r Reader) ([]string, error) {
	scopes, err := s.opts.Scopes(m, r.Kind, r.ID)
	switch {
	case err == nil:
		return scopes, nil
	case fault.Of(err) == fault.Denied:
		return nil, errRevoked
	}
	return nil, status.Error(codes.Internal, "scopes can't be found")
}

// may says what a reader may read now.
func (s *Server) may(r Reader) ([]string, error) {
	s.index.mu.RLock()
	loaded, m := s.index.loaded, s.index.model
	s.index.mu.RUnlock()
	if !loaded {
		return nil, errLoading
	}
	return s.scopes(m, r)
}

// peer is who a caller is by its certificate, which the TLS listener has verified.
func (s *Server) peer(ctx context.Context) (Reader, error) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return Reader{}, status.Error(codes.Unauthenticated, "no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return Reader{}, status.Error(codes.Unauthenticated, "no client certificate")
	}
	id, err := identity.FromCertificate(info.State.PeerCertificates[0])
	if err != nil || id.Cluster != s.opts.Cluster || id.Kind != identity.Node && id.Kind != identity.Connector {
		s.log.Warn("certificate refused", "peer", p.Addr.String(), "err", err)
		return Reader{}, status.Error(codes.PermissionDenied, "not a node or connector of this cluster")
	}
	return Reader{id.Kind, id.ID}, nil
}

// Admit says who a caller of any service on the push port is. The context that it returns ends when the
// reader is no longer trusted, or with ctx. The error is a gRPC status.
func (s *Server) Admit(ctx context.Context) (identity.Identity, context.Context, error) {
	r, err := s.peer(ctx)
	if err != nil {
		return identity.Identity{}, nil, err
	}
	trusted, err := s.Watch(ctx, r)
	if err != nil {
		return identity.Identity{}, nil, err
	}
	return identity.Identity{Cluster: s.opts.Cluster, Kind: r.Kind, ID: r.ID}, trusted, nil
}

// Watch returns a context that ends when a reader is no longer trusted, or with ctx.
func (s *Server) Watch(ctx context.Context, r Reader) (context.Context, error) {
	ctx, stop := context.WithCancel(ctx)
	trusted := s.readers.watch(ctx, r) // before the check: a revocation between the two is noticed
	if _, err := s.may(r); err != nil {
		stop()
		return nil, err
	}
	context.AfterFunc(trusted, stop)
	return trusted, nil
}

// Required is the revision that a reader has to apply to have everything up to rev: older than rev if
// nothing newer touched what it reads.
func (s *Server) Required(r Reader, rev model.Revision) (model.Revision, error) {
	s.index.mu.RLock()
	defer s.index.mu.RUnlock()
	if !s.index.loaded {
		return 0, errLoading
	}
	scopes, err := s.scopes(s.index.model, r)
	if err != nil {
		return 0, err
	}
	return min(rev, s.index.touchedOf(scopes)), nil
}

// Applied is the newest revision that a reader acknowledged to this replica, and since when its stream here is open;
// zero if it has none. A stream whose cable is cut stays open until gRPC's keepalive notices, for up to half a minute:
// whether the reader lives is presence's to say.
func (s *Server) Applied(r Reader) (rev model.Revision, since time.Time) {
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	st := s.readers.known[r]
	if st == nil {
		return 0, time.Time{}
	}
	if st.stream != nil {
		since = st.stream.since
	}
	return st.applied, since
}

// Readers lists the readers that have a stream to this replica.
func (s *Server) Readers() []Reader {
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	var list []Reader
	for r, st := range s.readers.known {
		if st.stream != nil {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, Reader.compare)
	return list
}
