-- Appends in one round trip: the lock that orders all appends, the wake-up, the checks of claims, the
-- rows and the answers to save. Each statement of a volatile function sees what was committed
-- before it began, so what follows the lock sees every earlier append.
-- `lasts` says of each answer which row, counted from 1, is the last of its command.
CREATE FUNCTION append_events(
    lock bigint, patience text, channel text,
    roles text[], epochs bigint[], nodes text[], sessions text[],
    streams text[], versions bigint[], topics text[], states bytea[],
    principals text[], keys text[], fingerprints text[], statuses int[], responses bytea[], lasts int[],
    OUT positions bigint[], OUT at bigint
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', patience, true);
    PERFORM pg_advisory_xact_lock(lock);
    PERFORM pg_notify(channel, '');
    FOR i IN 1 .. cardinality(roles) LOOP
        PERFORM assert_epoch(roles[i], epochs[i]);
    END LOOP;
    FOR i IN 1 .. cardinality(nodes) LOOP
        PERFORM assert_session(nodes[i], sessions[i]);
    END LOOP;
    SELECT greatest(
        (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
        (SELECT recorded_at FROM stored_events ORDER BY notification_id DESC LIMIT 1)
    ) INTO at;
    WITH inserted AS (
        INSERT INTO stored_events (originator_id, originator_version, topic, state, recorded_at)
        SELECT e.stream, e.version, e.topic, e.state, at
        FROM unnest(streams, versions, topics, states)
            WITH ORDINALITY AS e (stream, version, topic, state, n)
        ORDER BY e.n RETURNING notification_id
    )
    SELECT array_agg(notification_id ORDER BY notification_id) FROM inserted INTO positions;
    IF cardinality(keys) > 0 THEN
        INSERT INTO idempotency (principal, key, fingerprint, status, response, position)
        SELECT a.principal, a.key, a.fingerprint, a.status, a.response, positions[a.last]
        FROM unnest(principals, keys, fingerprints, statuses, responses, lasts)
            AS a (principal, key, fingerprint, status, response, last);
    END IF;
END
$$;
