SELECT min(d.destination) AS destination, count(*) AS pending FROM deliveries AS d
WHERE d.state = 'pending' AND {tenant}
GROUP BY callback_authority(d.destination), lower(left(d.destination, 5)) = 'https'
