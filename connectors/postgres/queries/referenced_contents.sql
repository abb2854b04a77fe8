-- Every content that rows refer to. A uri is found in any text, also within the bytes of a request.
SELECT sha256 FROM uploads
UNION
SELECT m[1] FROM outcomes AS o, regexp_matches(o.refs::text, 'sha256/[0-9a-f]{2}/([0-9a-f]{64})', 'g') AS m WHERE o.refs IS NOT NULL
UNION
SELECT m[1] FROM outcomes AS o, regexp_matches(o.output::text, 'sha256/[0-9a-f]{2}/([0-9a-f]{64})', 'g') AS m
WHERE position('sha256/' IN o.output::text) > 0
UNION
SELECT m[1] FROM payloads AS p, regexp_matches(encode(p.value, 'escape') || p.headers::text, 'sha256/[0-9a-f]{2}/([0-9a-f]{64})', 'g') AS m
