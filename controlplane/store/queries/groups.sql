-- name: InsertGroup :exec
INSERT INTO user_groups (id, org_id, name) VALUES (@id, @org_id, @name);

-- name: UpdateGroup :execrows
UPDATE user_groups SET name = @name, updated_at = now() WHERE id = @id;

-- name: DeleteGroup :execrows
DELETE FROM user_groups WHERE id = @id;

-- name: GetGroup :one
SELECT g.id, g.org_id, g.name, g.created_at, g.updated_at,
       array(SELECT m.user_id FROM user_group_members m WHERE m.group_id = g.id ORDER BY m.user_id)::uuid[] AS user_ids
  FROM user_groups g WHERE g.id = @id;

-- name: GetGroupByName :one
SELECT g.id, g.org_id, g.name, g.created_at, g.updated_at,
       array(SELECT m.user_id FROM user_group_members m WHERE m.group_id = g.id ORDER BY m.user_id)::uuid[] AS user_ids
  FROM user_groups g WHERE g.org_id = @org_id AND g.name = @name;

-- name: ListGroups :many
SELECT g.id, g.org_id, g.name, g.created_at, g.updated_at,
       array(SELECT m.user_id FROM user_group_members m WHERE m.group_id = g.id ORDER BY m.user_id)::uuid[] AS user_ids
  FROM user_groups g WHERE g.org_id = @org_id AND g.name > @after ORDER BY g.name LIMIT @most;

-- name: ListGroupsOfUser :many
SELECT g.id, g.org_id, g.name, g.created_at, g.updated_at,
       array(SELECT o.user_id FROM user_group_members o WHERE o.group_id = g.id ORDER BY o.user_id)::uuid[] AS user_ids
  FROM user_groups g JOIN user_group_members m ON m.group_id = g.id WHERE g.org_id = @org_id AND m.user_id = @user_id ORDER BY g.name;

-- name: DeleteGroupMembers :exec
DELETE FROM user_group_members WHERE group_id = @group_id;

-- name: InsertGroupMembers :exec
INSERT INTO user_group_members (org_id, group_id, user_id) SELECT @org_id, @group_id, unnest(@user_ids::uuid[]);

-- name: LockGroup :exec
SELECT FROM user_groups WHERE id = @id FOR UPDATE;
