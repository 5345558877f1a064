package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/model"
)

// AddTraffic writes what nodes have counted, but for what is there already.
func (t *Tx) AddTraffic(ctx context.Context, list []*model.NodeTraffic) error {
	batch := &pgx.Batch{}
	for _, v := range list {
		batch.Queue(`INSERT INTO traffic_15s (at, org_id, service_id, site_id, node_id, process, requests, statuses, denied, failed, bytes_in, bytes_out, unlogged, buckets, counts)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`,
			v.At, v.Org.UUID, v.Service.UUID, v.Site.UUID, v.Node.UUID, v.Process, v.Requests, v.Statuses[:], v.Denied, v.Failed, v.In, v.Out, v.Unlogged,
			notNil(v.Took.Buckets), notNil(v.Took.Counts))
	}
	return classify(t.tx.SendBatch(ctx, batch).Close(), "write traffic")
}

// sums is what all columns that are counts are added up to.
const sums = `sum(requests)::bigint, ARRAY[sum(statuses[1]), sum(statuses[2]), sum(statuses[3]), sum(statuses[4]), sum(statuses[5]), sum(statuses[6])]::bigint[],
	sum(denied)::bigint, sum(failed)::bigint, sum(bytes_in)::bigint, sum(bytes_out)::bigint, sum(unlogged)::bigint`

// RollUpTraffic writes anew what there was in each window of model.TrafficCoarse of which some part was stored after a
// moment, and gives how many windows. It may be repeated. Windows that begin before since are left as they are.
func (t *Tx) RollUpTraffic(ctx context.Context, since, stored time.Time) (int64, error) {
	tag, err := t.tx.Exec(ctx, `
		WITH changed AS (
			SELECT DISTINCT date_bin('5 minutes', at, 'epoch'::timestamptz) AS slot FROM traffic_15s WHERE at >= $1 AND stored_at >= $2
		), parts AS MATERIALIZED (
			SELECT slot, p.* FROM changed JOIN traffic_15s p ON p.at >= slot AND p.at < slot + interval '5 minutes' AND p.at >= $1
		), counted AS (
			SELECT slot, org_id, service_id, site_id, array_agg(b ORDER BY b) AS buckets, array_agg(n ORDER BY b) AS counts
			  FROM (SELECT slot, org_id, service_id, site_id, u.b, sum(u.n)::bigint AS n FROM parts, unnest(buckets, counts) AS u (b, n) GROUP BY 1, 2, 3, 4, 5) x
			 GROUP BY 1, 2, 3, 4
		), added (slot, org_id, service_id, site_id, requests, statuses, denied, failed, bytes_in, bytes_out, unlogged) AS (
			SELECT slot, org_id, service_id, site_id, `+sums+` FROM parts GROUP BY 1, 2, 3, 4
		)
		INSERT INTO traffic_5m (at, org_id, service_id, site_id, requests, statuses, denied, failed, bytes_in, bytes_out, unlogged, buckets, counts)
		SELECT slot, org_id, service_id, site_id, requests, statuses, denied, failed, bytes_in, bytes_out, unlogged, coalesce(buckets, '{}'), coalesce(counts, '{}')
		  FROM added LEFT JOIN counted USING (slot, org_id, service_id, site_id)
		ON CONFLICT (org_id, at, service_id, site_id) DO UPDATE SET
			requests = excluded.requests, statuses = excluded.statuses, denied = excluded.denied, failed = excluded.failed, bytes_in = excluded.bytes_in,
			bytes_out = excluded.bytes_out, unlogged = excluded.unlogged, buckets = excluded.buckets, counts = excluded.counts`, since, stored)
	return tag.RowsAffected(), classify(err, "roll up traffic")
}

// DeleteTraffic removes the windows of model.TrafficCoarse that began before a moment.
func (t *Tx) DeleteTraffic(ctx context.Context, before time.Time) error {
	_, err := t.tx.Exec(ctx, "DELETE FROM traffic_5m WHERE at < $1", before)
	return classify(err, "delete traffic")
}

// SumTraffic adds up traffic of an organization, ordered by time and by what it is added up by. Steps that are multiples of
// model.TrafficCoarse are taken from its windows, as is all that is older than the finer ones.
func (t *Tx) SumTraffic(ctx context.Context, org model.OrgID, q model.TrafficQuery, now time.Time) ([]*model.TrafficSum, error) {
	table := "traffic_15s"
	if q.By != model.ByNode && (q.Step > 0 && q.Step%model.TrafficCoarse == 0 || q.Step == 0 && q.Until.Sub(q.Since) > time.Hour || q.Since.Before(now.Add(-model.TrafficFineKept))) {
		table = "traffic_5m"
	}
	var w where
	if !org.IsZero() {
		w.add("org_id = %s", org.UUID)
	}
	w.add("at >= %s AND at < %s", q.Since, q.Until)
	if !q.Service.IsZero() {
		w.add("service_id = %s", q.Service.UUID)
	}
	if !q.Site.IsZero() {
		w.add("site_id = %s", q.Site.UUID)
	}
	slot := fmt.Sprintf("$%d::timestamptz", len(w.args)+1)
	args := append(w.args, any(q.Since))
	if q.Step > 0 {
		slot = fmt.Sprintf("date_bin($%d::interval, at, 'epoch'::timestamptz)", len(args))
		args[len(args)-1] = q.Step
	}
	of, ok := map[model.TrafficBy]string{
		model.ByNothing: "'00000000-0000-0000-0000-000000000000'::uuid", model.ByService: "service_id", model.BySite: "site_id", model.ByNode: "node_id",
	}[q.By]
	if !ok {
		return nil, fmt.Errorf("sum traffic by %q", q.By)
	}
	rows, err := t.tx.Query(ctx, `
		WITH parts AS MATERIALIZED (SELECT `+slot+` AS slot, `+of+` AS of, p.* FROM `+table+` p WHERE `+w.sql()+`),
		counted AS (
			SELECT slot, of, array_agg(b ORDER BY b) AS buckets, array_agg(n ORDER BY b) AS counts
			  FROM (SELECT slot, of, u.b, sum(u.n)::bigint AS n FROM parts, unnest(buckets, counts) AS u (b, n) GROUP BY 1, 2, 3) x GROUP BY 1, 2
		), added AS (SELECT slot, of, `+sums+` FROM parts GROUP BY 1, 2)
		SELECT added.*, coalesce(buckets, '{}'), coalesce(counts, '{}') FROM added LEFT JOIN counted USING (slot, of) ORDER BY slot, of`, args...)
	if err != nil {
		return nil, classify(err, "sum traffic")
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*model.TrafficSum, error) {
		v := new(model.TrafficSum)
		var statuses []int64
		err := row.Scan(&v.At, &v.Of, &v.Requests, &statuses, &v.Denied, &v.Failed, &v.In, &v.Out, &v.Unlogged, &v.Took.Buckets, &v.Took.Counts)
		copy(v.Statuses[:], statuses)
		return v, err
	})
	return out, classify(err, "sum traffic")
}

// ServiceRequests gives how many requests there were of each service, of whatever organization, since a moment.
func (t *Tx) ServiceRequests(ctx context.Context, since time.Time) (map[model.ServiceID]int64, error) {
	rows, err := t.tx.Query(ctx, "SELECT service_id, sum(requests)::bigint FROM traffic_5m WHERE at >= $1 GROUP BY service_id", since)
	if err != nil {
		return nil, classify(err, "count requests")
	}
	out, id, n := map[model.ServiceID]int64{}, uuid.UUID{}, int64(0)
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		out[model.ServiceID{UUID: id}] = n
		return nil
	})
	return out, classify(err, "count requests")
}

// NamesOf gives names of what traffic is added up by, as far as it is still there.
func (t *Tx) NamesOf(ctx context.Context, by model.TrafficBy, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	table, ok := map[model.TrafficBy]string{model.ByService: "services", model.BySite: "sites", model.ByNode: "nodes"}[by]
	if !ok {
		return map[uuid.UUID]string{}, nil
	}
	rows, err := t.tx.Query(ctx, "SELECT id, name FROM "+table+" WHERE id = ANY ($1)", ids)
	if err != nil {
		return nil, classify(err, "names")
	}
	out, id, name := map[uuid.UUID]string{}, uuid.UUID{}, ""
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		out[id] = name
		return nil
	})
	return out, classify(err, "names")
}

// ListRequestGaps returns where the request log of an organization lacks something, the newest first, so many at most.
func (t *Tx) ListRequestGaps(ctx context.Context, org model.OrgID, since, until time.Time, most int, now time.Time) ([]*model.RequestGap, error) {
	table := "traffic_15s"
	if since.Before(now.Add(-model.TrafficFineKept)) {
		table = "traffic_5m"
	}
	rows, err := t.tx.Query(ctx, `SELECT at, service_id, sum(unlogged)::bigint FROM `+table+`
		WHERE org_id = $1 AND at >= $2 AND at < $3 AND unlogged > 0 GROUP BY 1, 2 ORDER BY 1 DESC, 2 LIMIT $4`, org.UUID, since, until, most)
	if err != nil {
		return nil, classify(err, "list gaps")
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*model.RequestGap, error) {
		g := &model.RequestGap{Org: org}
		return g, row.Scan(&g.At, &g.Service.UUID, &g.Requests)
	})
	return out, classify(err, "list gaps")
}
