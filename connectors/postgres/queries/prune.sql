-- Deletes runs that ended long ago, a few thousand at a time (docs/adr/0003-tables-and-pruning.md).
WITH old AS MATERIALIZED (
    SELECT o.job_id, o.run FROM outcomes AS o
    WHERE o.decided_at < now() - %(age)s
      AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.job_id = o.job_id AND d.run = o.run AND d.state = 'pending')
    LIMIT %(limit)s
),
gone AS (
    DELETE FROM outcomes AS o USING old WHERE o.job_id = old.job_id AND o.run = old.run
),
runs_gone AS (
    DELETE FROM runs AS r USING old WHERE r.job_id = old.job_id AND r.run = old.run
),
history_gone AS (
    DELETE FROM history AS h USING old WHERE h.job_id = old.job_id AND h.run = old.run
),
cancels_gone AS (
    DELETE FROM cancels AS c USING old WHERE c.job_id = old.job_id AND c.run = old.run
),
payloads_gone AS (
    DELETE FROM payloads AS p USING old WHERE p.job_id = old.job_id AND p.run = old.run
),
leases_gone AS (
    DELETE FROM leases AS l USING old WHERE l.job_id = old.job_id AND l.run = old.run
),
deliveries_gone AS (
    DELETE FROM deliveries AS d USING old WHERE d.job_id = old.job_id AND d.run = old.run RETURNING d.delivery_id
),
batches_gone AS (
    DELETE FROM batches AS b WHERE b.ended_at < now() - %(age)s
      AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.delivery_id = b.batch_id AND d.state = 'pending')
    RETURNING b.batch_id
),
batch_deliveries_gone AS (
    DELETE FROM deliveries AS d USING batches_gone AS b WHERE d.delivery_id = b.batch_id RETURNING d.delivery_id
),
tries_gone AS (
    DELETE FROM delivery_tries AS t
    USING (SELECT delivery_id FROM deliveries_gone UNION ALL SELECT delivery_id FROM batch_deliveries_gone) AS d
    WHERE t.delivery_id = d.delivery_id
),
dead_letters_gone AS (
    DELETE FROM dead_letters WHERE at < now() - %(age)s
),
-- A replay whose runs are still open stays: the sink takes an edited input by its rows.
replays_gone AS (
    DELETE FROM replays AS s WHERE s.ended_at < now() - %(age)s
      AND NOT EXISTS (
          SELECT FROM replay_jobs AS p JOIN runs AS r ON r.job_id = p.job_id AND r.run = p.run
          WHERE p.replay_id = s.replay_id AND r.state IN ('PENDING', 'PROCESSING', 'RETRYING')
      )
    RETURNING s.replay_id
),
replay_jobs_gone AS (
    DELETE FROM replay_jobs AS p USING replays_gone AS s WHERE p.replay_id = s.replay_id
),
jobs_gone AS (
    DELETE FROM jobs AS j USING (SELECT DISTINCT job_id FROM old) AS known
    WHERE j.job_id = known.job_id
      AND NOT EXISTS (
          SELECT FROM runs AS r WHERE r.job_id = j.job_id
          AND NOT EXISTS (SELECT FROM old WHERE old.job_id = r.job_id AND old.run = r.run)
      )
)
SELECT count(*) AS pruned FROM old
