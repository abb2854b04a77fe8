-- Those of some contents that rows of another case, or of none, refer to.
SELECT wanted.sha256
FROM unnest(%(contents)s::text[]) AS wanted(sha256)
WHERE EXISTS (
    SELECT FROM uploads AS u WHERE u.sha256 = wanted.sha256
    AND (u.tenant, u.case_id) IS DISTINCT FROM (%(tenant)s, %(case_id)s)
)
OR EXISTS (
    SELECT FROM outcomes AS o JOIN jobs AS j USING (job_id)
    WHERE o.refs IS NOT NULL AND o.refs @> jsonb_build_array(jsonb_build_object('sha256', wanted.sha256))
      AND (j.tenant <> %(tenant)s OR j.case_id IS DISTINCT FROM %(case_id)s) AND j.case_sha256 IS DISTINCT FROM %(case_sha256)s
)
OR EXISTS (
    SELECT FROM payloads AS p LEFT JOIN jobs AS j USING (job_id)
    WHERE position(convert_to(wanted.sha256, 'UTF8') IN p.value) > 0
      AND (j.tenant IS DISTINCT FROM %(tenant)s OR j.case_id IS DISTINCT FROM %(case_id)s)
      AND j.case_sha256 IS DISTINCT FROM %(case_sha256)s
)
