-- Contents of a list that are neither an upload of the tenant nor a file of a result of one of its jobs.
SELECT wanted.sha256
FROM unnest(%(sha256s)s::text[]) AS wanted(sha256)
WHERE NOT EXISTS (SELECT FROM uploads AS u WHERE u.sha256 = wanted.sha256 AND u.tenant = %(tenant)s)
  AND NOT EXISTS (
      SELECT FROM outcomes AS o JOIN jobs AS j ON j.job_id = o.job_id
      WHERE o.refs IS NOT NULL AND o.refs @> jsonb_build_array(jsonb_build_object('sha256', wanted.sha256))
        AND j.tenant = %(tenant)s
  )
