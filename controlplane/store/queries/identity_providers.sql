-- name: InsertIdentityProvider :exec
INSERT INTO identity_providers (id, org_id, name, title, issuer, client_id, sealed_client_secret, scopes, rules, provision)
VALUES (@id, @org_id, @name, @title, @issuer, @client_id, @sealed_client_secret, @scopes, @rules, @provision);

-- name: UpdateIdentityProvider :execrows
UPDATE identity_providers SET name = @name, title = @title, issuer = @issuer, client_id = @client_id, sealed_client_secret = @sealed_client_secret,
       scopes = @scopes, rules = @rules, provision = @provision, updated_at = now() WHERE id = @id;

-- name: DeleteIdentityProvider :execrows
DELETE FROM identity_providers WHERE id = @id;

-- name: GetIdentityProvider :one
SELECT id, org_id, name, title, issuer, client_id, sealed_client_secret, scopes, rules, provision, created_at, updated_at FROM identity_providers WHERE id = @id;

-- name: GetIdentityProviderByName :one
SELECT id, org_id, name, title, issuer, client_id, sealed_client_secret, scopes, rules, provision, created_at, updated_at FROM identity_providers
 WHERE name = @name AND org_id IS NOT DISTINCT FROM sqlc.narg(org_id);

-- name: ListIdentityProviders :many
SELECT id, org_id, name, title, issuer, client_id, sealed_client_secret, scopes, rules, provision, created_at, updated_at FROM identity_providers
 WHERE org_id IS NOT DISTINCT FROM sqlc.narg(org_id) AND name > @after ORDER BY name LIMIT @most;

-- name: UseIdentity :one
UPDATE user_identities SET used_at = @now WHERE provider_id = @provider_id AND issuer = @issuer AND subject = @subject RETURNING user_id;

-- name: InsertIdentity :exec
INSERT INTO user_identities (provider_id, issuer, subject, user_id, used_at) VALUES (@provider_id, @issuer, @subject, @user_id, @used_at);

-- name: ListIdentities :many
SELECT i.provider_id, i.issuer, i.subject, i.used_at, p.name, p.title FROM user_identities i JOIN identity_providers p ON p.id = i.provider_id
 WHERE i.user_id = @user_id ORDER BY p.name, i.subject;

-- name: DeleteIdentity :execrows
DELETE FROM user_identities WHERE user_id = @user_id AND provider_id = @provider_id;

-- name: InsertInvitation :exec
INSERT INTO invitations (id, org_id, email, hash, invited_by, expires_at) VALUES (@id, @org_id, @email, @hash, @invited_by, @expires_at);

-- name: InsertInvitationRoles :exec
INSERT INTO invitation_roles (invitation_id, role_id) SELECT @invitation_id, unnest(@role_ids::uuid[]);

-- name: ListInvitations :many
SELECT v.id, v.org_id, v.email, v.hash, v.invited_by, v.expires_at, v.created_at, v.updated_at,
       (SELECT coalesce(array_agg(r.role_id ORDER BY r.role_id), '{}') FROM invitation_roles r WHERE r.invitation_id = v.id)::uuid[] AS roles
  FROM invitations v WHERE v.org_id = @org_id AND v.email > @after ORDER BY v.email LIMIT @most;

-- name: GetInvitation :one
SELECT v.id, v.org_id, v.email, v.hash, v.invited_by, v.expires_at, v.created_at, v.updated_at,
       (SELECT coalesce(array_agg(r.role_id ORDER BY r.role_id), '{}') FROM invitation_roles r WHERE r.invitation_id = v.id)::uuid[] AS roles
  FROM invitations v WHERE v.id = @id;

-- name: GetInvitationByHash :one
SELECT v.id, v.org_id, v.email, v.hash, v.invited_by, v.expires_at, v.created_at, v.updated_at,
       (SELECT coalesce(array_agg(r.role_id ORDER BY r.role_id), '{}') FROM invitation_roles r WHERE r.invitation_id = v.id)::uuid[] AS roles
  FROM invitations v WHERE v.hash = @hash AND v.expires_at > @now;

-- name: DeleteInvitation :execrows
DELETE FROM invitations WHERE id = @id;

-- name: DeleteInvitationOf :exec
DELETE FROM invitations WHERE org_id = @org_id AND email = @email;

-- name: PruneInvitations :execrows
DELETE FROM invitations WHERE expires_at <= @now;

-- name: GetOrganizationSecurity :one
SELECT require_second_factor, max_session_seconds FROM organization_security WHERE org_id = @org_id;

-- name: PutOrganizationSecurity :exec
INSERT INTO organization_security (org_id, require_second_factor, max_session_seconds) VALUES (@org_id, @require_second_factor, @max_session_seconds)
ON CONFLICT (org_id) DO UPDATE SET require_second_factor = @require_second_factor, max_session_seconds = @max_session_seconds, updated_at = now();

-- name: ListSecurityOfUser :many
SELECT s.org_id, s.require_second_factor, s.max_session_seconds FROM organization_security s JOIN memberships m ON m.org_id = s.org_id WHERE m.user_id = @user_id;

-- name: ListClaimedRoles :many
SELECT org_id, role_id FROM claimed_roles WHERE user_id = @user_id AND provider_id = @provider_id;

-- name: InsertClaimedRole :exec
INSERT INTO claimed_roles (user_id, provider_id, org_id, role_id) VALUES (@user_id, @provider_id, sqlc.narg(org_id), @role_id) ON CONFLICT DO NOTHING;

-- name: DeleteClaimedRole :exec
DELETE FROM claimed_roles WHERE user_id = @user_id AND provider_id = @provider_id AND org_id IS NOT DISTINCT FROM sqlc.narg(org_id) AND role_id = @role_id;

-- name: AcceptClaims :exec
DELETE FROM refused_claims WHERE user_id = @user_id AND org_id IS NOT DISTINCT FROM sqlc.narg(org_id)::uuid AND (role_id IS NULL OR role_id = ANY(@role_ids::uuid[]));

-- name: ListRefusedClaims :many
SELECT org_id, role_id FROM refused_claims WHERE user_id = @user_id AND provider_id = @provider_id;

-- name: DeleteRefusedClaim :exec
DELETE FROM refused_claims WHERE user_id = @user_id AND provider_id = @provider_id AND org_id IS NOT DISTINCT FROM sqlc.narg(org_id) AND role_id IS NOT DISTINCT FROM sqlc.narg(role_id);
