"""The statements of the load path, in the order in which a batch runs them. `loading.py` says what surrounds them."""

# Up to a whole page a row lies in the table as it is: it is read once, so to compress it first is wasted.
STAGE = """
CREATE TEMP TABLE IF NOT EXISTS stage_keys
    (ord int, source_id text, content_hash bytea, week date) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS stage_rows
    (source_id text, content_hash bytea, week date, local_date date, start_local timestamp, start_at timestamptz,
     timezone text, precision text, status text, title text, event text, payload text)
    WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS;
"""

# The source is a column of what is joined, not a constant: of a source that is new, or has grown since the last ANALYZE,
# PostgreSQL expects no rows, and would read all that it has once for every batch.
# Of records with one id the first of the attempt holds, whichever batch the others come in: were each written in its
# turn, every pass over the same feed would write them all again.
TODO = """
WITH head AS MATERIALIZED (
    SELECT DISTINCT ON (source_id) ord, %(source)s::text AS source, source_id, content_hash
    FROM stage_keys ORDER BY source_id, ord),
differing AS MATERIALIZED (
    SELECT h.ord, source, source_id FROM head h LEFT JOIN raw_events r USING (source, source_id)
    WHERE r.first_job IS NULL OR r.content_hash <> h.content_hash OR r.record_version <> %(version)s
       OR r.withdrawn_at IS NOT NULL)
SELECT d.ord FROM differing d LEFT JOIN raw_events_seen s USING (source, source_id)
WHERE (s.last_job = %(job)s AND s.last_attempt = %(attempt)s) IS NOT TRUE
"""

# What a record counts as is decided from the state before the statement (every CTE sees the same snapshot):
#   unknown                         created
#   seen by this attempt            skipped: a repeat inside the fetch
#   created or changed by this job  counted by an earlier attempt, not counted again
#   written                         updated
#   otherwise                       skipped
# It counts for its week, or for the first week of the run where it has none there: every record has one partition.
WRITE = """
WITH head AS MATERIALIZED (
    SELECT DISTINCT ON (source_id) %(source)s::text AS source, source_id, week
    FROM stage_keys ORDER BY source_id, ord),
before AS (
    SELECT h.source_id, h.week, r.first_job IS NOT NULL AS known,
           r.first_job = %(job)s OR r.last_change_job = %(job)s AS ours,
           s.last_job = %(job)s AND s.last_attempt = %(attempt)s AS repeated
    FROM head h
    LEFT JOIN raw_events r USING (source, source_id)
    LEFT JOIN raw_events_seen s USING (source, source_id)),
written AS (
    INSERT INTO raw_events AS t (source, source_id, content_hash, record_version, week, local_date, start_local,
        start_at, timezone, precision, status, title, event, payload, first_job, last_change_job)
    SELECT %(source)s, source_id, content_hash, %(version)s, week, local_date, start_local, start_at, timezone,
           precision, status, title, event::jsonb, payload::jsonb, %(job)s, %(job)s
    FROM stage_rows
    ON CONFLICT (source, source_id) DO UPDATE SET content_hash = EXCLUDED.content_hash,
        record_version = EXCLUDED.record_version, week = EXCLUDED.week, local_date = EXCLUDED.local_date,
        start_local = EXCLUDED.start_local, start_at = EXCLUDED.start_at, timezone = EXCLUDED.timezone,
        precision = EXCLUDED.precision, status = EXCLUDED.status, title = EXCLUDED.title, event = EXCLUDED.event,
        payload = EXCLUDED.payload, changed_at = now(), last_change_job = EXCLUDED.last_change_job, withdrawn_at = NULL
    RETURNING source_id),
seen AS (
    INSERT INTO raw_events_seen AS t (source, source_id, last_job, last_attempt)
    SELECT %(source)s, source_id, %(job)s, %(attempt)s FROM head
    ON CONFLICT (source, source_id) DO UPDATE SET last_job = EXCLUDED.last_job, last_attempt = EXCLUDED.last_attempt
    WHERE (t.last_job, t.last_attempt) IS DISTINCT FROM (EXCLUDED.last_job, EXCLUDED.last_attempt)),
outcome AS (
    SELECT CASE WHEN b.week BETWEEN %(first)s AND %(last)s THEN b.week ELSE %(first)s END AS week,
           CASE WHEN NOT b.known THEN 'created'
                WHEN b.repeated THEN 'skipped' WHEN b.ours THEN 'counted'
                WHEN w.source_id IS NOT NULL THEN 'updated' ELSE 'skipped' END AS outcome
    FROM before b LEFT JOIN written w USING (source_id))
SELECT week, count(*) FILTER (WHERE outcome = 'created'), count(*) FILTER (WHERE outcome = 'updated'),
       count(*) FILTER (WHERE outcome = 'skipped')
FROM outcome GROUP BY week
"""

# Of some ids, those whose event lies in the weeks of the run and was not listed there by it so far.
# The week is looked at last: by the index of weeks all events of the source would be read, for a page of ids.
STORED_INSIDE = """
WITH asked AS MATERIALIZED (
    SELECT DISTINCT %(source)s::text AS source, source_id FROM unnest(%(ids)s::text[]) AS source_id),
stored AS MATERIALIZED (
    SELECT source_id, week, last_job FROM asked JOIN raw_events r USING (source, source_id)
    LEFT JOIN raw_events_seen s USING (source, source_id))
SELECT source_id FROM stored
WHERE week BETWEEN %(first)s AND %(last)s AND last_job IS DISTINCT FROM %(job)s
"""

# A record that is listed but cannot be read this time is not gone: it keeps what it said before. No attempt is number 0:
# a record of the same id that can be read is not a repeat.
SEEN_REJECTED = """
UPDATE raw_events_seen SET last_job = %(job)s, last_attempt = 0
WHERE source = %(source)s AND source_id = ANY(%(ids)s)
  AND (last_job, last_attempt) IS DISTINCT FROM (%(job)s, %(attempt)s)
"""
