// Package rest is the HTTP API: paths, bodies, problem documents. What an operation does is admin's; what is
// true now comes from push and presence.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/recovery"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/shared/version"
)

// Limits of one call.
const (
	maxBody  = 1 << 20
	maxCall  = 30 * time.Second
	pageSize = 100
	maxPage  = 500
)

// Options are what the API stands on.
type Options struct {
	Admin    *admin.Admin
	World    *model.Current
	Push     *push.Server
	Presence *presence.Store
	// SignIn signs people in; nil: nobody can.
	SignIn SignIn
	// Visits lets programs visit services; nil: it does not.
	Visits Visits
	// Database says how long ago the database last answered.
	Database func() time.Duration
	// Preflight checks domains; nil: nobody can.
	Preflight Preflight
	// Diagnose looks at what this replica stands on; nil: nobody does.
	Diagnose func(ctx context.Context) []Diagnosis
	// Previewer tells what writes would do to nodes; nil: dry runs don't say.
	Previewer Previewer
	// Limits counts calls.
	Limits Limits
	// Control is where nodes and connectors reach the push port, as is told who makes them join; nil: it is not known.
	Control []string
	// PageKey signs page tokens: a secret that all replicas have.
	PageKey []byte
	Log     *slog.Logger
	Reg     prometheus.Registerer
}

// Limits bounds how often something is done, over all replicas.
type Limits interface {
	// Take counts one call under each of the keys, and says how long to wait if that is too many; 0: it may be made.
	Take(ctx context.Context, keys ...limits.Key) (wait time.Duration)
}

// API is the HTTP handler. Safe for concurrent use.
type API struct {
	Options
	huma  huma.API
	mux   *http.ServeMux
	calls *prometheus.CounterVec
	kinds []*described // in apply order

	checks chan struct{} // one for each check of a domain at work

	sameSite *http.CrossOriginProtection

	wrong rate.Sometimes // what strangers can put into the log
}

// Inform has admin show objects as they are now: targets and alarms as presence knows them, ways as hops does. It is called before
// the first call of either.
func Inform(a *admin.Admin, world *model.Current, seen *presence.Store, way *hops.Source) {
	a.Health, a.Alarms, a.Hops = targetHealth{world, seen}, alarms{seen}, way
}

// New makes the handler with all routes.
func New(o Options) *API {
	a := &API{Options: o, checks: make(chan struct{}, maxChecks), sameSite: http.NewCrossOriginProtection(), mux: http.NewServeMux(), wrong: rate.Sometimes{Interval: time.Second}, calls: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "cp_rest_requests_total", Help: "API calls, by operation and status class."}, []string{"operation", "class"})}
	o.Reg.MustRegister(a.calls)
	cfg := huma.DefaultConfig("Warren", version.Version)
	cfg.Info.Version = "v1" // of the API; the description is the same in every build
	cfg.Info.Description = "Configuration and state of a Warren cluster."
	cfg.DocsPath, cfg.SchemasPath = "", ""
	cfg.OpenAPIPath = "/api/v1/openapi"
	cfg.CreateHooks = nil // no $schema in answers
	cfg.Transformers = []huma.Transformer{finish}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key":     {Type: "http", Scheme: "bearer", Description: "An API key, wrn_key_…"},
		"session": {Type: "apiKey", In: "cookie", Name: SessionCookie, Description: "A user's session, as the sign-in sets it; writes from other sites are refused"},
	}
	a.huma = humago.New(a.mux, cfg)
	a.huma.UseMiddleware(a.count, a.authenticate, a.readable, a.wellFormed)
	a.routes()
	return a
}

// Document is the description of the API, which nobody changes.
func (a *API) Document() *huma.OpenAPI { return a.huma.OpenAPI() }

// OpenAPI is the description of the API as YAML.
func (a *API) OpenAPI() ([]byte, error) { return a.huma.OpenAPI().YAML() }

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	w.Header().Set("X-Request-Id", id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	limit := maxCall
	if long(r.URL.Path) {
		limit += maxTail
	}
	ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestKey{}, id), limit)
	defer cancel()
	r = r.WithContext(ctx)
	most := int64(maxBody)
	if strings.HasSuffix(r.URL.Path, applySuffix) {
		most = maxManifests
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	defer recovery.HTTP(a.Log.With("request", id), r, func() { writeProblem(w, id, http.StatusInternalServerError, "internal error") })
	if clean(r.URL.Path) != r.URL.Path { // the mux would redirect, in HTML, and lose the body of what follows it as GET
		writeProblem(w, id, http.StatusNotFound, "no such path: want it without empty, \".\" and \"..\" segments")
		return
	}
	if _, pattern := a.mux.Handler(r); pattern == "" {
		a.noRoute(w, r, id)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// clean is a path as the mux takes it, which lets a slash at the end stand.
func clean(p string) string {
	if p == "" || p[0] != '/' {
		return "/"
	}
	out := path.Clean(p)
	if out != "/" && strings.HasSuffix(p, "/") {
		out += "/"
	}
	return out
}

// noRoute answers what no route takes: the path is unknown, or the method is.
func (a *API) noRoute(w http.ResponseWriter, r *http.Request, id string) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := a.mux.Handler(other); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		writeProblem(w, id, http.StatusNotFound, "no such path")
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(w, id, http.StatusMethodNotAllowed, "want "+strings.Join(allowed, ", "))
}

func (a *API) count(ctx huma.Context, next func(huma.Context)) {
	next(ctx)
	a.calls.WithLabelValues(ctx.Operation().OperationID, string('0'+rune(max(ctx.Status(), 0)/100))+"xx").Inc()
}
