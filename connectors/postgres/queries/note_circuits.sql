INSERT INTO circuits (destination, retry_at, changed_at)
SELECT destination, now() + retry_in_ms * interval '1 millisecond', now() FROM @t(destination text, retry_in_ms bigint)
ON CONFLICT (destination) DO UPDATE SET retry_at = excluded.retry_at, changed_at = excluded.changed_at
