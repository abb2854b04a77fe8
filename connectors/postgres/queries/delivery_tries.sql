SELECT n, at, status, ms, error FROM delivery_tries WHERE delivery_id = %(delivery_id)s ORDER BY n
