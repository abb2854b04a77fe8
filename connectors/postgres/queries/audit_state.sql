-- The database's clock and name.
SELECT now() AS at, current_database() AS database
