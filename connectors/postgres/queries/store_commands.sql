-- Acknowledgements of the previous command are deleted by their action, not by their time: workers have their own clocks, and an
-- acknowledgement may be read before its command.
WITH p AS MATERIALIZED (
    SELECT * FROM @p(processor text, action text, requested_at timestamptz, requested_by text, reason text)
),
outdated AS (
    DELETE FROM control_answers AS a USING p WHERE a.processor = p.processor AND a.action <> p.action || 'd'
)
INSERT INTO controls (processor, action, requested_at, requested_by, reason)
SELECT processor, action, requested_at, requested_by, reason FROM p
ON CONFLICT (processor) DO UPDATE SET
    action = excluded.action, requested_at = excluded.requested_at, requested_by = excluded.requested_by,
    reason = excluded.reason
