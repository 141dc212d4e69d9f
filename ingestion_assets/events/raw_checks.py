"""Checks of one source's raw events. One step evaluates them all; each says what it looked at and what to do.

They look at the tables, not at the step's memory, so they can be run again at any time and catch what a step could not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from ingestion_assets.events.raw_events import raw_events_key
from ingestion_assets.events.sources import SOURCE_NAMES, missing_settings
from ingestion_assets.failures import stop_run_retries
from ingestion_assets.ledger.health import FRESH_WITHIN
from resources.definitions import PostgresResource
from resources.postgres.database import Database

FRESH = "fresh"
"""The check that turns red while nothing happens, so that it has to be looked at by itself (`schedules.py`)."""
REJECTED_SHARE = 0.10
"""Feeds carry a few bad records for ever; a tenth of them means that the format has changed."""
_MIN_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: passed or not, one sentence, and figures."""

    passed: bool
    description: str
    figures: Mapping[str, Any]


def reconcile(job: Mapping[str, Any], tables: Mapping[str, int], *, newest: bool) -> Finding:
    """Whether the counts of an import are what the tables hold. `tables` are counted by job, see `_TABLES`.

    A row says which job changed it last: of one that is not the `newest`, later ones may have changed rows again, whether
    they ended well or not.
    """
    expected = {
        "created": job["nb_created"],
        "updated": job["nb_updated"],
        "errors": job["nb_errors"],
        "partition_total": job["nb_fetched"],
    }
    wrong = {
        name: (claimed, tables[name])
        for name, claimed in expected.items()
        if tables[name] > claimed or (tables[name] < claimed and (newest or name != "updated"))
    }
    if not wrong:
        text = f"Import job {job['id']}: every count equals what the tables hold."
    else:
        parts = ", ".join(
            f"{name}: the ledger says {claimed}, the tables {found}" for name, (claimed, found) in wrong.items()
        )
        text = f"Import job {job['id']}: {parts}. Something wrote past the loader; do not use these counts."
    return Finding(not wrong, text, dict(tables))


_TABLES = """
SELECT (SELECT count(*) FROM raw_events WHERE source = %(source)s AND first_job = %(job)s) AS created,
       (SELECT count(*) FROM raw_events
        WHERE source = %(source)s AND last_change_job = %(job)s AND first_job <> %(job)s) AS updated,
       (SELECT count(*) FROM rejected_records WHERE job_id = %(job)s) AS errors,
       (SELECT coalesce(sum(nb_created + nb_updated + nb_skipped + nb_errors), 0)
        FROM import_job_partitions WHERE job_id = %(job)s)::int AS partition_total,
       NOT EXISTS (SELECT FROM import_jobs WHERE source = %(source)s AND id > %(job)s) AS newest
"""

_TWINS = """
SELECT count(*) AS twins, coalesce(min(left(title, 120)), '') AS example FROM (
    SELECT lower(title) AS title FROM raw_events
    WHERE source = %(source)s AND withdrawn_at IS NULL AND start_at IS NOT NULL AND status <> 'cancelled'
    GROUP BY lower(title), start_at, event -> 'venue' ->> 'name' HAVING count(*) > 1) AS twins
"""


def _counts_reconcile(database: Database, source: str, job: Mapping[str, Any]) -> Finding:
    [tables] = database.fetch_all(_TABLES, {"source": source, "job": job["id"]})
    newest = tables.pop("newest")
    return reconcile(job, tables, newest=newest)


def _withdrawal_guard(_database: Database, _source: str, job: Mapping[str, Any]) -> Finding:
    refused = [w["detail"] for w in job["warnings"] if w["code"] == "withdrawal_refused"]
    text = refused[0] if refused else f"{job['nb_withdrawn']} events were withdrawn by import job {job['id']}."
    return Finding(not refused, text, {"withdrawn": job["nb_withdrawn"]})


def _fetch_complete(_database: Database, _source: str, job: Mapping[str, Any]) -> Finding:
    missing = [w["detail"] for w in job["warnings"] if w["code"] == "incomplete"]
    text = missing[0] if missing else "The fetch listed everything that it asked for."
    return Finding(not missing, text, {"warnings": len(job["warnings"])})


def _few_rejected(_database: Database, _source: str, job: Mapping[str, Any]) -> Finding:
    fetched, errors = job["nb_fetched"], job["nb_errors"]
    share = errors / fetched if fetched else 0.0
    passed = fetched < _MIN_RECORDS or share <= REJECTED_SHARE
    text = f"{errors} of {fetched} records were rejected ({share:.1%})."
    if not passed:
        text += " The feed has probably changed its format: look at rejected_records by reason."
    return Finding(passed, text, {"share": share, "by_reason": dg.MetadataValue.json(job["errors"])})


def _no_twins(database: Database, source: str, _job: Mapping[str, Any]) -> Finding:
    [row] = database.fetch_all(_TWINS, {"source": source})
    text = f"{row['twins']} events are listed under several ids of the source with equal title, time and venue"
    text += f", for example {row['example']!r}." if row["twins"] else "."
    return Finding(not row["twins"], text, {"twins": row["twins"]})


_CHECKS = {
    "counts_reconcile": (_counts_reconcile, True, dg.AssetCheckSeverity.ERROR, "Ledger and tables agree"),
    "withdrawal_guard": (
        _withdrawal_guard,
        False,
        dg.AssetCheckSeverity.ERROR,
        "No fetch missed more than a fifth of the known events, and more than three",
    ),
    "fetch_complete": (_fetch_complete, False, dg.AssetCheckSeverity.WARN, "The last fetch listed all it asked for"),
    "few_rejected": (_few_rejected, False, dg.AssetCheckSeverity.WARN, "At most a tenth of the records was rejected"),
    "no_twins": (_no_twins, False, dg.AssetCheckSeverity.WARN, "One id an event within the source"),
}


def build_raw_checks(source: str) -> list[dg.AssetsDefinition]:
    """The checks of one source: those of its last import in one step, and freshness, which is judged on its own."""
    key = raw_events_key(source)

    @dg.multi_asset_check(
        name=f"raw_events__{source}__checks",
        specs=[
            dg.AssetCheckSpec(name, asset=key, blocking=blocking, description=text)
            for name, (_, blocking, _, text) in _CHECKS.items()
        ],
        can_subset=True,
    )
    def _checks(context: dg.AssetCheckExecutionContext, postgres: PostgresResource) -> Iterable[dg.AssetCheckResult]:
        job = _last_success(postgres.database, source)
        for check in context.selected_asset_check_keys:
            look, _, severity, _ = _CHECKS[check.name]
            finding = (
                Finding(True, "There is no finished import yet.", {})
                if job is None
                else look(postgres.database, source, job)
            )
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=check.name,
                passed=finding.passed,
                severity=severity,
                description=finding.description,
                metadata=finding.figures,
            )

    @dg.asset_check(asset=key, name=FRESH, description=f"Imported within {FRESH_WITHIN.total_seconds() / 3600:.0f} h")
    def _fresh(postgres: PostgresResource) -> dg.AssetCheckResult:
        if missing := missing_settings(source):
            text = f"The source is not set up: {' and '.join(missing)}."
            return dg.AssetCheckResult(passed=True, severity=dg.AssetCheckSeverity.WARN, description=text)
        job = _last_success(postgres.database, source)
        if job is None:
            return dg.AssetCheckResult(
                passed=False,
                severity=dg.AssetCheckSeverity.WARN,
                description="Never imported: materialize it, or switch its schedule on.",
            )
        passed = job["age"] <= FRESH_WITHIN
        text = f"The last successful import ended {job['age'].total_seconds() / 3600:.1f} h ago."
        if not passed:
            text += f" Look at the runs of this asset and at its schedule (refresh_{source})."
        return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, description=text)

    return [_checks.with_hooks({stop_run_retries}), _fresh]


def refused_sources(instance: dg.DagsterInstance) -> list[str]:
    """The sources of which a blocking check failed, lately: after `FRESH_WITHIN` the next import should have been judged,
    and a source that is imported no more must not hold back the others.
    """
    since = (datetime.now(UTC) - FRESH_WITHIN).timestamp()
    blocking = [name for name, (_, blocks, _, _) in _CHECKS.items() if blocks]
    refused = []
    for source in SOURCE_NAMES:
        keys = [dg.AssetCheckKey(raw_events_key(source), name) for name in blocking]
        last = [instance.get_latest_asset_check_evaluation_record(key) for key in keys]
        if any(each and each.status.value == "FAILED" and each.create_timestamp > since for each in last):
            refused.append(source)
    return refused


def _last_success(database: Database, source: str) -> dict[str, Any] | None:
    rows = database.fetch_all(
        "SELECT *, now() - finished_at AS age FROM import_jobs WHERE source = %(source)s AND status = 'SUCCESS'"
        " ORDER BY id DESC LIMIT 1",
        {"source": source},
    )
    return rows[0] if rows else None
