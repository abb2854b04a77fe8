-- Marks open dead letters as dropped. Their records stay in the log.
WITH {letters},
dropped AS (
    UPDATE dead_letters AS d SET state = 'dropped', changed_at = now(), changed_by = %(by)s, note = %(note)s
    FROM letters AS c
    WHERE (d.topic_id, d.partition, d."offset") = (c.topic_id, c.partition, c."offset") AND c.state = 'open' AND d.state = 'open'
    RETURNING 1
)
SELECT count(*) AS dropped FROM dropped
