INSERT INTO control_answers AS was (processor, worker_id, action, at)
SELECT processor, worker_id, action, at FROM @a(processor text, worker_id text, action text, at timestamptz)
ON CONFLICT (processor, worker_id) DO UPDATE SET action = excluded.action, at = excluded.at
