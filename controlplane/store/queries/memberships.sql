-- name: InsertMembership :exec
INSERT INTO memberships (org_id, user_id) VALUES (@org_id, @user_id);

-- name: TouchMembership :execrows
UPDATE memberships SET updated_at = now() WHERE org_id = @org_id AND user_id = @user_id;

-- name: DeleteMembership :execrows
DELETE FROM memberships WHERE org_id = @org_id AND user_id = @user_id;

-- name: GetMembership :one
SELECT m.org_id, m.user_id, m.created_at, m.updated_at, u.email,
       array(SELECT r.role_id FROM membership_roles r WHERE r.org_id = m.org_id AND r.user_id = m.user_id ORDER BY r.role_id)::uuid[] AS role_ids
  FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.org_id = @org_id AND m.user_id = @user_id;

-- name: ListMembershipsOfOrganization :many
SELECT m.org_id, m.user_id, m.created_at, m.updated_at, u.email,
       array(SELECT r.role_id FROM membership_roles r WHERE r.org_id = m.org_id AND r.user_id = m.user_id ORDER BY r.role_id)::uuid[] AS role_ids
  FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.org_id = @org_id AND u.email > @after ORDER BY u.email LIMIT @most;

-- name: ListMembershipsOfUser :many
SELECT m.org_id, m.user_id, m.created_at, m.updated_at, u.email,
       array(SELECT r.role_id FROM membership_roles r WHERE r.org_id = m.org_id AND r.user_id = m.user_id ORDER BY r.role_id)::uuid[] AS role_ids
  FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.user_id = @user_id ORDER BY m.org_id;

-- name: LockMembership :exec
SELECT FROM memberships WHERE org_id = @org_id AND user_id = @user_id FOR UPDATE;

-- name: DeleteMembershipRoles :exec
DELETE FROM membership_roles WHERE org_id = @org_id AND user_id = @user_id;

-- name: InsertMembershipRoles :exec
INSERT INTO membership_roles (org_id, user_id, role_id) SELECT @org_id, @user_id, unnest(@role_ids::uuid[]);

-- name: GrantsOfUser :many
-- What a user may, where: of organizations that he is a member of, and of the cluster (the zero id).
SELECT m.org_id, r.id, r.permissions
  FROM memberships m JOIN membership_roles x ON x.org_id = m.org_id AND x.user_id = m.user_id JOIN roles r ON r.id = x.role_id
 WHERE m.user_id = @user_id
UNION ALL
SELECT '00000000-0000-0000-0000-000000000000'::uuid, r.id, r.permissions FROM users u JOIN roles r ON r.id = u.cluster_role_id WHERE u.id = @user_id;

-- name: LockOwners :many
-- Those who have a role in an organization and may use it. Nobody takes it from them until the transaction ends.
SELECT r.user_id FROM membership_roles r JOIN users u ON u.id = r.user_id
 WHERE r.org_id = @org_id AND r.role_id = @role_id AND u.disabled_at IS NULL ORDER BY r.user_id FOR UPDATE OF r;
