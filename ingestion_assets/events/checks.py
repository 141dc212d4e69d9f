"""Checks of what is made from raw events: that nothing was lost on the way, and that ids and tags can be trusted.

Each check is one query that returns how many rows break its rule and an example, so that a failure says where to look.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import dagster as dg

from ingestion_assets.events.deduplicated_events import KEY as DEDUPLICATED_EVENTS
from ingestion_assets.events.tag_enrichments import KEY as TAG_ENRICHMENTS
from ingestion_assets.failures import stop_run_retries
from resources.postgres.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that no row may break. `query` returns `broken`, `looked_at` and `example`."""

    name: str
    description: str
    query: LiteralString
    advice: str
    blocking: bool = False
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    allowed_share: float = 0.0
    """Share of the rows looked at that may break the rule before the check fails."""
    counts: str = "rows"
    """What `looked_at` and `broken` are numbers of."""


_EVENT_RULES = (
    Rule(
        name="every_event_has_a_record",
        description="Every event that was not replaced is listed by at least one raw record",
        query="""
SELECT count(*) AS looked_at, count(*) FILTER (WHERE l.event_id IS NULL) AS broken,
       min(e.event_id) FILTER (WHERE l.event_id IS NULL) AS example
FROM deduplicated_events e LEFT JOIN (SELECT DISTINCT event_id FROM event_links) l USING (event_id)
WHERE e.replaced_by IS NULL""",
        advice="Raw records or links were deleted by hand; materialize the week of the event again.",
        blocking=True,
    ),
    Rule(
        name="every_dated_record_has_an_event",
        # An event of a Sunday and the Monday after it belongs to the earlier week, which may be another run's: until it
        # is resolved, its records of that Monday have no event.
        description="Every dated raw record of a resolved week belongs to an event, or may do so when the week before is",
        query="""
SELECT count(*) AS looked_at, count(*) FILTER (WHERE l.event_id IS NULL) AS broken,
       min(r.source || ':' || r.source_id) FILTER (WHERE l.event_id IS NULL) AS example
FROM raw_events r JOIN deduplication_weeks w ON w.week = r.week AND w.resolved_at > r.changed_at
LEFT JOIN event_links l ON l.source = r.source AND l.source_id = r.source_id
LEFT JOIN deduplication_weeks before ON before.week = r.week - 7 AND before.resolved_at > r.changed_at
WHERE l.event_id IS NOT NULL OR r.local_date > r.week OR before.week IS NOT NULL
   OR NOT EXISTS (SELECT FROM raw_events s WHERE s.local_date = r.week - 1)""",
        advice="Materialize deduplicated_events for the record's week and for the week before it.",
        blocking=True,
    ),
    Rule(
        name="replaced_ids_lead_on",
        description="Following replaced_by from any event ends at one that was not replaced",
        query="""
WITH RECURSIVE way AS (
    SELECT event_id AS start, replaced_by AS next, 1 AS steps FROM deduplicated_events WHERE replaced_by IS NOT NULL
    UNION ALL
    SELECT way.start, e.replaced_by, way.steps + 1 FROM way JOIN deduplicated_events e ON e.event_id = way.next
    WHERE e.replaced_by IS NOT NULL AND way.steps < 100)
SELECT count(DISTINCT start) AS looked_at, count(DISTINCT start) FILTER (WHERE steps >= 100) AS broken,
       min(start) FILTER (WHERE steps >= 100) AS example
FROM way""",
        advice="Two events replace each other; force a split of their records (match_overrides) and materialize the week.",
        blocking=True,
    ),
    Rule(
        name="no_oversized_event",
        description="No event gathers more than twenty records",
        query="""
SELECT count(*) AS looked_at, count(*) FILTER (WHERE nb_records > 20) AS broken,
       min(event_id) FILTER (WHERE nb_records > 20) AS example
FROM deduplicated_events WHERE replaced_by IS NULL""",
        advice="Seven sources list an event about seven times; look at its records for a title that says nothing.",
        severity=dg.AssetCheckSeverity.WARN,
    ),
    Rule(
        name="events_stay_at_one_venue",
        description="At most one in fifty events that several records describe spans places more than a kilometre apart",
        query="""
WITH places AS (
    SELECT l.event_id, max((r.event -> 'venue' ->> 'lat')::float8) - min((r.event -> 'venue' ->> 'lat')::float8) AS lat,
           max((r.event -> 'venue' ->> 'lon')::float8) - min((r.event -> 'venue' ->> 'lon')::float8) AS lon
    FROM event_links l JOIN raw_events r USING (source, source_id) GROUP BY l.event_id HAVING count(*) > 1)
SELECT count(*) AS looked_at, count(*) FILTER (WHERE lat > 0.009 OR lon > 0.013) AS broken,
       min(event_id) FILTER (WHERE lat > 0.009 OR lon > 0.013) AS example
FROM places""",
        advice="Compare the records of the example with `ingest dedup explain`.",
        severity=dg.AssetCheckSeverity.WARN,
        allowed_share=0.02,
    ),
)

_TAG_RULES = (
    Rule(
        name="no_event_lost",
        description="Every live event of a tagged week is done, pending or failed: none is missing",
        query="""
SELECT count(*) AS looked_at, count(*) FILTER (WHERE t.event_id IS NULL) AS broken,
       min(e.event_id) FILTER (WHERE t.event_id IS NULL) AS example
FROM deduplicated_events e
JOIN (SELECT p.week, max(j.started_at) AS started_at FROM import_job_partitions p JOIN import_jobs j ON j.id = p.job_id
      WHERE j.source = 'tag_enrichments' AND j.status = 'SUCCESS' GROUP BY p.week) w
  ON w.week = e.week AND e.changed_at < w.started_at
LEFT JOIN tag_enrichments t USING (event_id)
WHERE e.replaced_by IS NULL AND e.withdrawn_at IS NULL AND %(enabled)s""",
        advice="Materialize tag_enrichments for the week of the event.",
        blocking=True,
    ),
    Rule(
        name="tags_inside_the_taxonomy",
        description="Every stored tag is a value of the taxonomy",
        query="""
SELECT count(*) AS looked_at, count(*) FILTER (WHERE broken) AS broken,
       min(event_id) FILTER (WHERE broken) AS example
FROM (SELECT event_id, NOT (type = ANY(%(types)s) AND genres <@ %(genres)s::text[] AND ambiance <@ %(ambiance)s::text[]
             AND audience <@ %(audience)s::text[]) AS broken
      FROM tag_enrichments WHERE status = 'done') AS tagged""",
        advice="A value was removed from the taxonomy without a new version; raise the version and tag the weeks again.",
        blocking=True,
    ),
    Rule(
        name="upcoming_events_are_tagged",
        description="At least nineteen in twenty of the coming events have tags",
        query="""
SELECT count(*) AS looked_at, count(*) FILTER (WHERE t.status IS DISTINCT FROM 'done') AS broken,
       min(coalesce(t.error_code, 'not asked yet')) FILTER (WHERE t.status IS DISTINCT FROM 'done') AS example
FROM deduplicated_events e LEFT JOIN tag_enrichments t USING (event_id)
WHERE e.replaced_by IS NULL AND e.withdrawn_at IS NULL AND e.local_date >= current_date AND %(enabled)s""",
        advice="Pending rows say in error_code what they wait for; the sensor recover_tags asks again when it is time.",
        severity=dg.AssetCheckSeverity.WARN,
        allowed_share=0.05,
    ),
    Rule(
        name="spend_is_within_budget",
        description="What tagging has spent today is within LLM_DAILY_TOKEN_BUDGET",
        query="""
SELECT coalesce(sum(input_tokens + output_tokens), 0)::bigint AS looked_at,
       greatest(coalesce(sum(input_tokens + output_tokens), 0) - coalesce(%(budget)s::bigint, 9e18::bigint), 0)::bigint
       AS broken, min(model) AS example
FROM llm_usage WHERE day = (now() AT TIME ZONE 'UTC')::date AND purpose = 'tag_enrichments'""",
        advice="Bound a run by TAG_ENRICHMENT_MAX_EVENTS_PER_RUN, use TAG_ENRICHMENT_MODE=batch, or raise the budget.",
        severity=dg.AssetCheckSeverity.WARN,
        counts="tokens",
    ),
    Rule(
        name="few_failed",
        description="At most one in twenty events could not be tagged",
        query="""
SELECT count(*) AS looked_at, count(*) FILTER (WHERE status = 'error') AS broken,
       min(error_code) FILTER (WHERE status = 'error') AS example
FROM tag_enrichments""",
        advice="Group tag_enrichments by error_code; run the asset with retry_errors once the cause is mended.",
        severity=dg.AssetCheckSeverity.WARN,
        allowed_share=0.05,
    ),
)


def evaluate(database: Database, rule: Rule, parameters: Mapping[str, Any]) -> dg.AssetCheckResult:
    """Look at the tables with one rule."""
    [row] = database.fetch_all(rule.query, dict(parameters) if "%(" in rule.query else None)
    looked_at, broken = row["looked_at"], row["broken"]
    passed = broken <= rule.allowed_share * looked_at
    if broken == 0:
        text = f"{looked_at} {rule.counts} looked at, none breaks the rule."
    else:
        text = f"{broken} of {looked_at} {rule.counts} break the rule, for example {row['example']!r}."
    if not passed:
        text += f" {rule.advice}"
    return dg.AssetCheckResult(
        check_name=rule.name,
        passed=passed,
        severity=rule.severity,
        description=text,
        metadata={"looked_at": looked_at, "broken": broken},
    )


def _build(
    key: dg.AssetKey, rules: Sequence[Rule], parameters: Callable[[], Mapping[str, Any]] = dict
) -> dg.AssetsDefinition:
    """The checks of an asset. `parameters` of its rules are read when they are evaluated."""
    by_name = {rule.name: rule for rule in rules}

    @dg.multi_asset_check(
        name=f"{key.to_python_identifier()}__checks",
        specs=[
            dg.AssetCheckSpec(rule.name, asset=key, blocking=rule.blocking, description=rule.description)
            for rule in rules
        ],
        can_subset=True,
        required_resource_keys={"postgres"},
    )
    def _checks(context) -> Iterable[dg.AssetCheckResult]:  # type: ignore[no-untyped-def]
        given = parameters()
        for check in context.selected_asset_check_keys:
            yield evaluate(context.resources.postgres.database, by_name[check.name], given)

    return _checks.with_hooks({stop_run_retries})


def _tag_parameters() -> dict[str, Any]:
    from ingestion_assets.events.tagging import Ambiance, Audience, EventType, Genre
    from ingestion_assets.settings import TaggingSettings
    from resources.llm import LlmSettings

    return {
        "types": [value.value for value in EventType],
        "genres": [value.value for value in Genre],
        "ambiance": [value.value for value in Ambiance],
        "audience": [value.value for value in Audience],
        "enabled": not TaggingSettings().disabled,
        "budget": LlmSettings().llm_daily_token_budget,
    }


# Deduplication asks no model: settings of theirs that cannot be used must not fail its checks, and with them its runs.
EVENT_CHECKS = [
    _build(DEDUPLICATED_EVENTS, _EVENT_RULES),
    _build(TAG_ENRICHMENTS, _TAG_RULES, parameters=_tag_parameters),
]
