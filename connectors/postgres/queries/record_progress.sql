-- Results of tries of progress callbacks. Only their holder's count: another one may have claimed them since. If the run has
-- moved on meanwhile (`sequence`), its newer progress is due at once; if it has ended, there is no further try.
UPDATE deliveries AS d SET
    state = CASE
        WHEN t.state IN ('delivered', 'pending') AND r.state NOT IN ('PENDING', 'PROCESSING', 'RETRYING') THEN
            CASE t.state WHEN 'delivered' THEN 'delivered' ELSE 'superseded' END
        WHEN t.state = 'delivered' AND d.sequence > t.sequence THEN 'pending'
        ELSE t.state
    END,
    tries = CASE t.state WHEN 'delivered' THEN 0 ELSE d.tries + t.counts::integer END,
    due_at = now() + t.due_in_ms * interval '1 millisecond',
    notifier = NULL,
    held_until = NULL,
    ended_at = CASE
        WHEN t.state = 'pending' AND r.state IN ('PENDING', 'PROCESSING', 'RETRYING') THEN NULL
        WHEN t.state = 'delivered' AND d.sequence > t.sequence AND r.state IN ('PENDING', 'PROCESSING', 'RETRYING') THEN NULL
        ELSE now()
    END
FROM @t(
    delivery_id uuid, notifier uuid, sequence integer, state text, due_in_ms bigint, counts boolean, status integer, ms real,
    error text
), runs AS r
WHERE d.delivery_id = t.delivery_id AND d.notifier = t.notifier AND d.state = 'pending'
  AND r.job_id = d.job_id AND r.run = d.run
