"""Each check is fed what it is there to find. A check that was never seen to fail checks nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion_assets.events.checks import EVENT_CHECKS
from ingestion_assets.events.raw_checks import build_raw_checks, reconcile
from ingestion_assets.events.sources import SOURCE_NAMES
from resources.definitions import PostgresResource
from resources.postgres.database import Database
from tests.assets.runs import CALENDAR, CITY, EVENTS, TAGS, Runs
from tests.databases import Databases
from tests.fakes.fetching import environment

BLOCKING = {
    "counts_reconcile",
    "every_event_has_a_record",
    "every_dated_record_has_an_event",
    "replaced_ids_lead_on",
    "no_event_lost",
    "tags_inside_the_taxonomy",
}


@pytest.fixture(scope="module")
def full_template(
    _shared_databases: Databases, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """URL of a database in which everything is imported, deduplicated and tagged, with nothing wrong."""
    url = _shared_databases.create(template=migrated_template)
    with environment({"DATABASE_URL": url, "DAGSTER_DATABASE_URL": url, "INGESTION_ALLOW_PRIVATE_ADDRESSES": "true"}):
        runs = Runs(Database(url), tmp_path_factory.mktemp("feeds"))
        runs.csv.numbers = runs.calendar.numbers = range(24)
        runs.ok(CITY, CALENDAR, EVENTS, TAGS)
        runs.instance.dispose()
    return url


@pytest.fixture
def full(full_template: str, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    """A copy of it that the test may damage."""
    url = databases.create(template=full_template)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    runs = Runs(Database(url), tmp_path)
    yield runs
    runs.instance.dispose()


def _evaluate(runs: Runs) -> dict[str, dg.AssetCheckEvaluation]:
    """All checks of the city and of what follows, evaluated alone, as they can be from the UI."""
    checks = [*build_raw_checks("open_data_montreal"), *EVENT_CHECKS]
    keys = [key for check in checks for key in check.check_keys]
    job = dg.Definitions(
        asset_checks=checks,
        jobs=[dg.define_asset_job("checks", selection=dg.AssetSelection.checks(*keys))],
        resources={"postgres": PostgresResource()},
        executor=dg.in_process_executor,
    ).resolve_job_def("checks")
    result = job.execute_in_process(instance=runs.instance, raise_on_error=False)
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def _failing(runs: Runs) -> dict[str, str]:
    return {name: str(check.description) for name, check in _evaluate(runs).items() if not check.passed}


def test_all_checks_pass_on_good_data(full: Runs) -> None:
    found = _evaluate(full)
    assert {name for name, check in found.items() if not check.passed} == set()
    assert len(found) >= 14


def _sql(*statements: str) -> Callable[[Runs], None]:
    def apply(runs: Runs) -> None:
        for statement in statements:
            runs.execute(statement)

    return apply


_SOME_EVENT = "(SELECT min(event_id) FROM deduplicated_events)"
_SOME_RECORD = "(SELECT min(source_id) FROM raw_events WHERE source = 'open_data_montreal')"
_LAST_JOB = "(SELECT max(id) FROM import_jobs WHERE source = 'open_data_montreal')"

DAMAGE: dict[str, tuple[Callable[[Runs], None], str]] = {
    "a row that the ledger did not count": (
        _sql(f"UPDATE raw_events SET first_job = -1 WHERE source_id = {_SOME_RECORD}"),
        "counts_reconcile",
    ),
    "a rejected record that was deleted by hand": (
        _sql(f"UPDATE import_jobs SET nb_errors = 1 WHERE id = {_LAST_JOB}"),
        "counts_reconcile",
    ),
    "a partition that lost its counts": (
        _sql(f"DELETE FROM import_job_partitions WHERE job_id = {_LAST_JOB}"),
        "counts_reconcile",
    ),
    "a guard that refused": (
        _sql(
            'UPDATE import_jobs SET warnings = \'[{"code": "withdrawal_refused", "detail": "9 of 10 events are gone"}]\''
            f" WHERE id = {_LAST_JOB}"
        ),
        "withdrawal_guard",
    ),
    "a fetch that was not complete": (
        _sql(
            'UPDATE import_jobs SET warnings = \'[{"code": "incomplete", "detail": "a feed did not answer"}]\''
            f" WHERE id = {_LAST_JOB}"
        ),
        "fetch_complete",
    ),
    "many rejected records": (
        _sql(f"UPDATE import_jobs SET nb_errors = 20, errors = '{{\"missing_title\": 20}}' WHERE id = {_LAST_JOB}"),
        "few_rejected",
    ),
    "one event under two ids": (
        _sql(
            "UPDATE raw_events SET title = 'Twin', start_at = now() WHERE source = 'open_data_montreal' AND source_id IN"
            " (SELECT source_id FROM raw_events WHERE source = 'open_data_montreal' AND event -> 'venue' ->> 'name' ="
            " 'Quai 5160' LIMIT 2)"
        ),
        "no_twins",
    ),
    "an import long ago": (
        _sql(
            "UPDATE import_jobs SET finished_at = now() - interval '40 hours', started_at = now() - interval '41 hours'"
        ),
        "fresh",
    ),
    "no import at all": (_sql("DELETE FROM rejected_records", "DELETE FROM import_jobs"), "fresh"),
    "an event without records": (
        _sql(f"DELETE FROM event_links WHERE event_id = {_SOME_EVENT}"),
        "every_event_has_a_record",
    ),
    "a record without its event": (
        _sql(f"DELETE FROM event_links WHERE source_id = {_SOME_RECORD}"),
        "every_dated_record_has_an_event",
    ),
    "two events that replace each other": (
        _sql(
            "UPDATE deduplicated_events SET replaced_by = (SELECT max(event_id) FROM deduplicated_events)"
            f" WHERE event_id = {_SOME_EVENT}",
            f"UPDATE deduplicated_events SET replaced_by = {_SOME_EVENT}"
            " WHERE event_id = (SELECT max(event_id) FROM deduplicated_events)",
        ),
        "replaced_ids_lead_on",
    ),
    "an event of thirty records": (
        _sql(f"UPDATE deduplicated_events SET nb_records = 30 WHERE event_id = {_SOME_EVENT}"),
        "no_oversized_event",
    ),
    "events in two towns at once": (
        _sql(
            "UPDATE raw_events SET event = jsonb_set(event, '{venue}', '{\"lat\": 46.8, \"lon\": -71.2}')"
            " WHERE source = 'ics'"
        ),
        "events_stay_at_one_venue",
    ),
    "an event that was never considered": (
        _sql(f"DELETE FROM tag_enrichments WHERE event_id = {_SOME_EVENT}"),
        "no_event_lost",
    ),
    "a tag of no taxonomy": (
        _sql(f"UPDATE tag_enrichments SET genres = '{{polka}}' WHERE event_id = {_SOME_EVENT}"),
        "tags_inside_the_taxonomy",
    ),
    "coming events that nobody was asked about": (
        _sql("UPDATE tag_enrichments SET status = 'pending', error_code = NULL"),
        "upcoming_events_are_tagged",
    ),
    "more tokens than the day has": (
        _sql(
            "INSERT INTO llm_usage (day, provider, model, purpose, input_tokens, output_tokens) VALUES"
            " ((now() AT TIME ZONE 'UTC')::date, 'openai', 'a-model', 'tag_enrichments', 1000, 500)"
        ),
        "spend_is_within_budget",
    ),
    "many events that could not be tagged": (
        _sql("UPDATE tag_enrichments SET status = 'error', error_code = 'refused'"),
        "few_failed",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_check_finds_what_it_is_there_for(case: str, full: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_DAILY_TOKEN_BUDGET", "1000")
    damage, check = DAMAGE[case]
    damage(full)
    failing = _failing(full)
    assert check in failing
    assert len(failing[check]) > 20, "it says what to do"


def test_a_budget_is_counted_in_tokens(full: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It said that 500 of 1500 rows broke the rule."""
    monkeypatch.setenv("LLM_DAILY_TOKEN_BUDGET", "1000")
    damage, check = DAMAGE["more tokens than the day has"]
    damage(full)
    assert _failing(full)[check].startswith("500 of 1500 tokens break the rule, for example 'a-model'. Bound a run")


def test_an_event_is_looked_at_once_however_often_its_week_was_tagged(full: Runs) -> None:
    """It was looked at once for each tagging of its week, of which a year of nights makes hundreds."""
    full.ok(TAGS)
    full.ok(TAGS)
    [row] = full.query("SELECT count(*) AS n FROM deduplicated_events")
    assert _evaluate(full)["no_event_lost"].metadata["looked_at"].value == row["n"]


def test_deduplication_is_checked_whatever_the_settings_of_models_say(full: Runs) -> None:
    """Half a configuration of a provider failed these checks, and by that the runs of what asks no provider."""
    full.ok(EVENTS, settings={"LLM_PROVIDERS": "openai", "OPENAI_API_KEY": ""})


def test_what_must_not_flow_on_is_blocking_and_nothing_else(runs: Runs) -> None:
    specs = [spec for check in runs.defs.asset_checks or () for spec in check.check_specs]  # type: ignore[union-attr]
    ours = [spec for spec in specs if spec.key.asset_key.path[0] in {"raw_events", EVENTS, TAGS}]
    assert {spec.name for spec in ours if spec.blocking} == BLOCKING
    assert {spec.key.asset_key.path[-1] for spec in ours if spec.name == "counts_reconcile"} == set(SOURCE_NAMES)
    assert all(spec.description for spec in ours)


def test_checks_of_sources_that_were_never_imported_pass_but_for_freshness(runs: Runs) -> None:
    assert set(_failing(runs)) == {"fresh"}


def test_the_books_are_compared_count_by_count() -> None:
    job: dict[str, Any] = {"id": 7, "nb_created": 1, "nb_updated": 2, "nb_errors": 3, "nb_fetched": 10}
    good = {"created": 1, "updated": 2, "errors": 3, "partition_total": 10}
    assert reconcile(job, good, newest=True).passed
    for name, value in good.items():
        for found in (99, 0):
            finding = reconcile(job, {**good, name: found}, newest=True)
            assert not finding.passed
            assert f"{name}: the ledger says {value}, the tables {found}" in finding.description


def test_rows_that_a_later_import_changed_again_are_no_lie_of_the_earlier_one() -> None:
    job: dict[str, Any] = {"id": 7, "nb_created": 1, "nb_updated": 2, "nb_errors": 3, "nb_fetched": 10}
    good = {"created": 1, "updated": 2, "errors": 3, "partition_total": 10}
    assert reconcile(job, {**good, "updated": 1}, newest=False).passed
    assert not reconcile(job, {**good, "updated": 3}, newest=False).passed
    assert not reconcile(job, {**good, "created": 0}, newest=False).passed


def test_the_books_agree_while_and_after_a_later_import_breaks(full: Runs) -> None:
    full.csv.numbers = range(24)
    full.csv.texts = {4: "Un autre texte.", 5: "Encore un autre."}
    full.ok(CITY)
    full.execute(
        "INSERT INTO import_jobs (source, status, run_id, attempt_token, partition_start, partition_end) SELECT source,"
        " 'RUNNING', 'later', gen_random_uuid(), partition_start, partition_end FROM import_jobs"
        " WHERE source = 'open_data_montreal' ORDER BY id DESC LIMIT 1"
    )
    changed = (
        "SELECT min(source_id) FROM raw_events WHERE source = 'open_data_montreal' AND last_change_job <> first_job"
    )
    full.execute(f"UPDATE raw_events SET last_change_job = {_LAST_JOB} WHERE source_id = ({changed})")
    assert "counts_reconcile" not in _failing(full)
    full.execute("UPDATE import_jobs SET status = 'ERROR', finished_at = now() WHERE run_id = 'later'")
    assert "counts_reconcile" not in _failing(full)
