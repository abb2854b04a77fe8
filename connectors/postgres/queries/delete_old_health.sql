WITH hours AS (
    DELETE FROM destination_hours WHERE hour < now() - %(age)s
)
DELETE FROM circuits WHERE changed_at < now() - %(age)s
