SELECT count(*) AS deliveries, now() AS at FROM deliveries AS d
WHERE {tenant} AND {job} AND {destination} AND {states} AND {since} AND {until} AND {ids}
  AND d.kind <> 'progress' AND d.state IN ('delivered', 'parked', 'gone', 'refused', 'skipped')
