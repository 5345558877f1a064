package store

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/model"
)

// AddRequests writes requests into the log, but for those that it has already, and gives how many it has written. Each
// column is one parameter: PostgreSQL takes no COPY into tables with row security.
func (t *Tx) AddRequests(ctx context.Context, list []*model.Request) (int64, error) {
	n := len(list)
	at, id, org, kind, service, serviceName := make([]time.Time, n), make([]uuid.UUID, n), make([]uuid.UUID, n), make([]string, n), make([]uuid.UUID, n), make([]string, n)
	node, nodeName, site, siteName, target, relay := make([]uuid.UUID, n), make([]string, n), make([]*uuid.UUID, n), make([]string, n), make([]*uuid.UUID, n), make([]*uuid.UUID, n)
	client, method, host, path, visitor, status := make([]*netip.Addr, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]int32, n)
	in, out, decide, first, total := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	decision, reason, problem := make([]string, n), make([]string, n), make([]string, n)
	for i, r := range list {
		at[i], id[i], org[i], kind[i], service[i], serviceName[i] = r.At, r.ID, r.Org.UUID, string(r.Kind), r.Service.UUID, r.ServiceName
		node[i], nodeName[i], site[i], siteName[i] = r.Node.UUID, r.NodeName, nullID(r.Site.UUID), r.SiteName
		target[i], relay[i] = nullID(r.Target.UUID), nullID(r.Relay.UUID)
		if r.Client.IsValid() {
			client[i] = &r.Client
		}
		method[i], host[i], path[i], visitor[i], status[i] = r.Method, r.Host, r.Path, r.Visitor, int32(r.Status)
		in[i], out[i], decide[i], first[i], total[i] = r.In, r.Out, r.Decide.Microseconds(), r.FirstByte.Microseconds(), r.Total.Microseconds()
		decision[i], reason[i], problem[i] = r.Decision, r.Reason, r.Error
	}
	tag, err := t.tx.Exec(ctx, `INSERT INTO request_log (`+requestColumns+`)
		SELECT * FROM unnest($1::timestamptz[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::uuid[], $8::text[], $9::uuid[], $10::text[],
			$11::uuid[], $12::uuid[], $13::inet[], $14::text[], $15::text[], $16::text[], $17::text[], $18::integer[], $19::bigint[], $20::bigint[],
			$21::bigint[], $22::bigint[], $23::bigint[], $24::text[], $25::text[], $26::text[])
		ON CONFLICT DO NOTHING`,
		at, id, org, kind, service, serviceName, node, nodeName, site, siteName, target, relay, client, method, host, path, visitor, status, in, out,
		decide, first, total, decision, reason, problem)
	return tag.RowsAffected(), classify(err, "write request log")
}

const requestColumns = `at, id, org_id, kind, service_id, service, node_id, node, site_id, site, target_id, relay_id, client, method, host, path, visitor, status,
	bytes_in, bytes_out, decide_us, first_byte_us, total_us, decision, reason, error`

// ListRequests returns requests of an organization, the newest first: those before a place in the list, unless that is
// zero, at most limit.
func (t *Tx) ListRequests(ctx context.Context, org model.OrgID, f model.RequestFilter, before model.RequestMark, limit int) ([]*model.Request, error) {
	var w where
	w.add("org_id = %s", org.UUID)
	if !before.At.IsZero() {
		w.add("(at, id) < (%s, %s)", before.At, before.ID)
	}
	filtered(&w, f)
	rows, err := t.tx.Query(ctx, "SELECT "+requestColumns+" FROM request_log WHERE "+w.sql()+fmt.Sprintf(" ORDER BY at DESC, id DESC LIMIT %d", limit), w.args...)
	if err != nil {
		return nil, classify(err, "list requests")
	}
	out, err := pgx.CollectRows(rows, scanRequest)
	return out, classify(err, "list requests")
}

// filtered adds what a filter wants.
func filtered(w *where, f model.RequestFilter) {
	named := func(ref, name, id string, parsed uuid.UUID, err error) {
		switch {
		case ref == "":
		case err == nil:
			w.add(id+" = %s", parsed)
		default:
			w.add(name+" = %s", ref)
		}
	}
	service, err := model.ServiceID{}.Parse(f.Service)
	named(f.Service, "service", "service_id", service.UUID, err)
	site, err := model.SiteID{}.Parse(f.Site)
	named(f.Site, "site", "site_id", site.UUID, err)
	node, err := model.NodeID{}.Parse(f.Node)
	named(f.Node, "node", "node_id", node.UUID, err)
	if f.Statuses != [2]int{} {
		w.add("status BETWEEN %s AND %s", f.Statuses[0], f.Statuses[1])
	}
	if f.PathPrefix != "" {
		w.add("starts_with(path, %s)", f.PathPrefix)
	}
	if f.Client.IsValid() {
		w.add("client <<= %s", f.Client)
	}
	for _, c := range []struct{ column, want string }{{"method", f.Method}, {"host", f.Host}, {"visitor", f.Visitor}, {"decision", f.Decision}} {
		if c.want != "" {
			w.add(c.column+" = %s", c.want)
		}
	}
	if !f.Since.IsZero() {
		w.add("at >= %s", f.Since)
	}
	if !f.Until.IsZero() {
		w.add("at < %s", f.Until)
	}
}

// where is the conditions of a query; each %s of one stands for a parameter.
type where struct {
	conds []string
	args  []any
}

func (w *where) add(cond string, args ...any) {
	at := make([]any, len(args))
	for i, a := range args {
		w.args = append(w.args, a)
		at[i] = fmt.Sprintf("$%d", len(w.args))
	}
	w.conds = append(w.conds, fmt.Sprintf(cond, at...))
}

func (w *where) sql() string { return strings.Join(w.conds, " AND ") }

func scanRequest(row pgx.CollectableRow) (*model.Request, error) {
	r := new(model.Request)
	var site, target, relay *uuid.UUID
	var client *netip.Addr
	var decide, first, total int64
	err := row.Scan(&r.At, &r.ID, &r.Org.UUID, &r.Kind, &r.Service.UUID, &r.ServiceName, &r.Node.UUID, &r.NodeName, &site, &r.SiteName, &target, &relay,
		&client, &r.Method, &r.Host, &r.Path, &r.Visitor, &r.Status, &r.In, &r.Out, &decide, &first, &total, &r.Decision, &r.Reason, &r.Error)
	r.Site.UUID, r.Target.UUID, r.Relay.UUID = idOrZero(site), idOrZero(target), idOrZero(relay)
	if client != nil {
		r.Client = *client
	}
	r.Decide, r.FirstByte, r.Total = time.Duration(decide)*time.Microsecond, time.Duration(first)*time.Microsecond, time.Duration(total)*time.Microsecond
	return r, err
}

// RequestLogDays says for how many days an organization keeps its request log; 0: it has none.
func (t *Tx) RequestLogDays(ctx context.Context, org model.OrgID) (days int, err error) {
	err = t.tx.QueryRow(ctx, "SELECT coalesce((SELECT keep_days FROM request_log_settings WHERE org_id = $1), $2)", org.UUID, model.RequestLogDays).Scan(&days)
	return days, classify(err, "request log settings")
}

// SetRequestLogDays changes it.
func (t *Tx) SetRequestLogDays(ctx context.Context, org model.OrgID, days int) error {
	_, err := t.tx.Exec(ctx, `INSERT INTO request_log_settings (org_id, keep_days) VALUES ($1, $2)
		ON CONFLICT (org_id) DO UPDATE SET keep_days = excluded.keep_days, updated_at = now()`, org.UUID, days)
	return classify(err, "request log settings")
}

// RequestLogSettings returns what organizations want that is not the default.
func (t *Tx) RequestLogSettings(ctx context.Context) (map[model.OrgID]int, error) {
	rows, err := t.tx.Query(ctx, "SELECT org_id, keep_days FROM request_log_settings")
	if err != nil {
		return nil, classify(err, "request log settings")
	}
	out, id, days := map[model.OrgID]int{}, uuid.UUID{}, 0
	_, err = pgx.ForEachRow(rows, []any{&id, &days}, func() error {
		out[model.OrgID{UUID: id}] = days
		return nil
	})
	return out, classify(err, "request log settings")
}

// DeleteRequests removes requests of an organization that were over before a moment, so many at most, and gives how many.
func (t *Tx) DeleteRequests(ctx context.Context, org model.OrgID, before time.Time, most int) (int64, error) {
	tag, err := t.tx.Exec(ctx, `DELETE FROM request_log WHERE org_id = $1 AND at < $2
		AND (at, id) IN (SELECT at, id FROM request_log WHERE org_id = $1 AND at < $2 ORDER BY at, id LIMIT $3)`, org.UUID, before, most)
	return tag.RowsAffected(), classify(err, "delete requests")
}

// OrganizationIDs returns all organizations.
func (t *Tx) OrganizationIDs(ctx context.Context) ([]model.OrgID, error) {
	rows, err := t.tx.Query(ctx, "SELECT id FROM organizations ORDER BY id")
	if err != nil {
		return nil, classify(err, "list organizations")
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id model.OrgID, err error) {
		err = row.Scan(&id.UUID)
		return id, err
	})
	return out, classify(err, "list organizations")
}
