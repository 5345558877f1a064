-- name: PutPublication :exec
INSERT INTO publications (connector_id, org_id, site_id, said, trouble, said_at) VALUES (@connector_id, @org_id, @site_id, @said, '', clock_timestamp())
ON CONFLICT (connector_id) DO UPDATE SET site_id = excluded.site_id, said = excluded.said, trouble = '', said_at = excluded.said_at;

-- name: PutTrouble :exec
INSERT INTO publications (connector_id, org_id, site_id, said, trouble) VALUES (@connector_id, @org_id, @site_id, '{}', @trouble)
ON CONFLICT (connector_id) DO UPDATE SET site_id = excluded.site_id, trouble = excluded.trouble;

-- name: DeletePublication :execrows
DELETE FROM publications WHERE connector_id = @connector_id;

-- name: ListPublications :many
SELECT p.connector_id, p.org_id, p.site_id, p.said, p.trouble, p.said_at, p.created_at, c.name
  FROM publications p JOIN connectors c ON c.id = p.connector_id
 WHERE p.site_id = @site_id ORDER BY p.created_at, p.connector_id;

-- name: PutPublished :exec
INSERT INTO published (site_id, org_id, shown) VALUES (@site_id, @org_id, @shown)
ON CONFLICT (site_id) DO UPDATE SET shown = excluded.shown, updated_at = now();

-- name: GetPublished :one
SELECT site_id, org_id, shown, updated_at FROM published WHERE site_id = @site_id;

-- name: DeletePublished :execrows
DELETE FROM published WHERE site_id = @site_id;
