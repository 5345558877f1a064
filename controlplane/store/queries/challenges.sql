-- name: InsertChallenges :exec
INSERT INTO challenges (id, org_id, order_id, type, name, token, value, expires_at)
SELECT unnest(@ids::uuid[]), unnest(@org_ids::uuid[]), unnest(@order_ids::uuid[]), unnest(@types::text[]), unnest(@names::text[]),
       unnest(@tokens::text[]), unnest(@answers::text[]), unnest(@expires::timestamptz[]);

-- name: DeleteChallengesOfOrder :execrows
DELETE FROM challenges WHERE order_id = @order_id;

-- name: DeleteExpiredChallenges :execrows
DELETE FROM challenges WHERE expires_at <= @before;

-- name: GetChallenges :many
SELECT id, org_id, order_id, type, name, token, value, expires_at, created_at, updated_at FROM challenges WHERE id = ANY(@ids::uuid[]);

-- name: AllChallenges :many
SELECT id, org_id, order_id, type, name, token, value, expires_at, created_at, updated_at FROM challenges;

-- name: ListChallengesOfOrder :many
SELECT id, org_id, order_id, type, name, token, value, expires_at, created_at, updated_at FROM challenges WHERE order_id = @order_id ORDER BY id;
