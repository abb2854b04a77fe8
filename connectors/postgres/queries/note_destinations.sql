-- Adds the tries of a notifier to those of their hour.
INSERT INTO destination_hours AS h (tenant, destination, hour, delivered, failed, last_error, last_error_at)
SELECT tenant, destination, date_trunc('hour', now()), delivered, failed, last_error, CASE WHEN last_error IS NOT NULL THEN now() END
FROM @t(tenant text, destination text, delivered bigint, failed bigint, last_error text)
ON CONFLICT (tenant, destination, hour) DO UPDATE SET
    delivered = h.delivered + excluded.delivered, failed = h.failed + excluded.failed,
    last_error = coalesce(excluded.last_error, h.last_error), last_error_at = coalesce(excluded.last_error_at, h.last_error_at)
