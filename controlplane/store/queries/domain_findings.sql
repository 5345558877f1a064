-- name: AllDomainFindings :many
SELECT domain_id, delegated, asked, provable, problem, found_at, next_check FROM domain_findings ORDER BY domain_id;

-- name: GetDomainFinding :one
SELECT domain_id, delegated, asked, provable, problem, found_at, next_check FROM domain_findings WHERE domain_id = @domain_id;

-- name: ClaimDomainFinding :execrows
-- Who comes second finds nothing to do. A domain is asked about at its time, or as soon as other hostnames count.
INSERT INTO domain_findings (domain_id, asked, next_check) VALUES (@domain_id, @asked, @until)
    ON CONFLICT (domain_id) DO UPDATE SET asked = excluded.asked, next_check = excluded.next_check
 WHERE domain_findings.next_check <= @now OR NOT domain_findings.delegated AND domain_findings.asked <> excluded.asked;

-- name: SetDomainFinding :execrows
UPDATE domain_findings SET delegated = @delegated, provable = @provable, problem = @problem, found_at = @found_at, next_check = @next_check WHERE domain_id = @domain_id;

-- name: RecheckDomains :execrows
-- Domains that one of the names is within.
UPDATE domain_findings f SET next_check = least(f.next_check, @at)
  FROM domains d
 WHERE d.id = f.domain_id AND d.org_id = @org_id AND EXISTS (SELECT FROM unnest(@names::text[]) n WHERE right('.' || n, length(d.name) + 1) = '.' || d.name);

-- name: DeleteDomainFinding :exec
DELETE FROM domain_findings WHERE domain_id = @domain_id;
