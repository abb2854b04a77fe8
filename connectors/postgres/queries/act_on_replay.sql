UPDATE replays AS s SET
    state = %(after)s,
    -- A replay that goes on does not make up for its pause.
    next_at = greatest(s.next_at, now()),
    ended_at = CASE %(after)s WHEN 'cancelled' THEN now() END
WHERE s.replay_id = %(replay_id)s AND s.state = ANY (%(before)s::text[])
RETURNING s.replay_id
