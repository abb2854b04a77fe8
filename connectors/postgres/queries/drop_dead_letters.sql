-- Marks open dead letters as dropped. Their records stay in the log.
WITH chosen AS (
    SELECT d.topic_id, d.partition, d."offset" FROM dead_letters AS d LEFT JOIN jobs AS j ON j.job_id = d.job_id
    WHERE d.state = 'open'
      AND {places} AND {fingerprint} AND {reason} AND {processor} AND {states} AND {since} AND {until} AND {job} AND {tenant}
    FOR UPDATE OF d
),
dropped AS (
    UPDATE dead_letters AS d SET state = 'dropped', changed_at = now(), changed_by = %(by)s, note = %(note)s
    FROM chosen AS c WHERE (d.topic_id, d.partition, d."offset") = (c.topic_id, c.partition, c."offset")
    RETURNING 1
)
SELECT count(*) AS dropped FROM dropped
