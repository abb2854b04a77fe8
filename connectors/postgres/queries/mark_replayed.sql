-- Records what became of rows, and counts them in their replays. A row that does not wait any more stays as it is.
-- Whatever rate a row has, it is held to the bounds in connectors/replay_store.py: an overflow would stop the replays of all.
WITH p AS MATERIALIZED (
    SELECT * FROM unnest(%(replay_ids)s::uuid[], %(numbers)s::integer[], %(states)s::text[], %(reasons)s::text[])
        AS p(replay_id, n, state, reason)
),
marked AS (
    UPDATE replay_jobs AS r SET
        state = p.state, reason = p.reason, tries = r.tries + (p.state = 'waiting')::integer,
        due_at = CASE p.state WHEN 'waiting' THEN now() + interval '1 minute' END,
        published_at = CASE p.state WHEN 'published' THEN now() END
    FROM p
    WHERE r.replay_id = p.replay_id AND r.n = p.n AND r.state = 'waiting'
    RETURNING r.replay_id, r.state
),
counted AS (
    SELECT
        replay_id, count(*) FILTER (WHERE state = 'published') AS published, count(*) FILTER (WHERE state = 'failed') AS failed,
        count(*) FILTER (WHERE state = 'parked') AS parked
    FROM marked GROUP BY replay_id
)
UPDATE replays AS s SET
    published = s.published + e.published, failed = s.failed + e.failed, parked = s.parked + e.parked,
    next_at = CASE
        WHEN s.rate IS NULL THEN s.next_at
        ELSE greatest(s.next_at, now() - interval '1 second') + e.published / least(greatest(s.rate, 0.001), 10000) * interval '1 second'
    END,
    -- From the row that is updated, not from one read before: an erasure may park rows at the same time.
    (state, ended_at) = (
        SELECT CASE WHEN x.ends THEN 'done' ELSE s.state END, CASE WHEN x.ends THEN now() ELSE s.ended_at END
        FROM (
            SELECT s.published + e.published + s.failed + e.failed + s.parked + e.parked >= s.total
                AND s.state IN ('running', 'paused') AS ends
        ) AS x
    )
FROM counted AS e WHERE s.replay_id = e.replay_id
