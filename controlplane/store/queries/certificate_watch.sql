-- name: EndingCertificates :many
-- Those that end in time and have no successor: none that is written on them, and none of the same names that lasts
-- longer. What no service needs any more is missed by nobody.
SELECT c.id, c.org_id, c.names, c.not_before, c.not_after, c.uploaded, c.issuer_id, c.managed_id, m.renew_at, m.next_attempt, m.failing_since, m.last_problem
  FROM certificates c LEFT JOIN managed_certificates m ON m.id = c.managed_id
 WHERE c.superseded_by IS NULL AND c.not_after > @now AND c.not_after <= @before AND coalesce(m.wanted, true)
   AND NOT EXISTS (SELECT FROM certificates o WHERE o.org_id = c.org_id AND o.names @> c.names AND o.not_after > c.not_after)
 ORDER BY c.not_after LIMIT @most;

-- name: CertificateStates :many
-- How managed certificates are doing, by state, with the first end of each; what was uploaded is a state of its own.
SELECT s.state::text AS state, count(*) AS count, coalesce(min(s.not_after), to_timestamp(0))::timestamptz AS first_end
  FROM (SELECT CASE WHEN NOT m.wanted THEN 'unused' WHEN c.not_after <= @now THEN 'expired' WHEN m.failing_since IS NOT NULL THEN 'failing'
                    WHEN c.id IS NULL THEN 'issuing' ELSE 'valid' END AS state, c.not_after
          FROM managed_certificates m LEFT JOIN certificates c ON c.id = m.certificate_id
        UNION ALL
        SELECT CASE WHEN c.not_after <= @now THEN 'expired' WHEN c.uploaded THEN 'uploaded' ELSE 'internal' END, c.not_after
          FROM certificates c WHERE c.managed_id IS NULL AND c.superseded_by IS NULL) s
 GROUP BY s.state;
