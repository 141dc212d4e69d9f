"""A source through Dagster: counts by partition, what fails a run, what is tried again and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from ingestion_assets import failures
from ingestion_assets.events.model import Page
from ingestion_assets.events.sources.open_data_montreal import OpenDataMontrealSource
from resources.errors import PermanentError, TransientError
from resources.postgres.database import Database
from tests.assets.runs import CALENDAR, CITY, TAGS, Runs
from tests.ledger.invariants import assert_books_balance

COUNTS = ("fetched", "created", "updated", "skipped", "errors")
RETRY_TAG = "dagster/retry_on_asset_or_op_failure"


def test_the_counts_of_the_partitions_of_a_range_add_up_to_those_of_its_run(runs: Runs) -> None:
    runs.csv.numbers = range(60)
    said = runs.ok(CITY)
    by_week = runs.materializations(CITY)
    assert list(by_week) == [str(runs.first + timedelta(weeks=n)) for n in range(3)]
    [job] = runs.jobs()
    for name in COUNTS:
        assert sum(week[name] for week in by_week.values()) == said[f"run_{name}"] == job[f"nb_{name}"]
    assert said["run_created"] == said["dagster/row_count"] == 60
    assert sum(week["dagster/partition_row_count"] for week in by_week.values()) == 60
    assert len({week["created"] for week in by_week.values()}) >= 1
    assert (job["partition_start"], job["partition_end"]) == (runs.csv.first, runs.csv.last)
    assert (job["run_id"], job["attempt"], job["status"]) == (runs.last.run_id, 1, "SUCCESS")
    assert_books_balance(runs.database)


def test_a_backfill_opens_no_connection_for_each_of_its_weeks(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each, at the end of an import of years: whichever failed made the whole run fail."""
    roles: list[str] = []
    connect = Database.connect

    def noted(database: Database, **options: Any) -> Any:
        roles.append(str(options.get("role")))
        return connect(database, **options)

    monkeypatch.setattr(Database, "connect", noted)
    runs.csv.numbers = range(3)
    opened = []
    for weeks in (1, 40):
        roles.clear()
        runs.ok(CITY, weeks=(runs.first, runs.first + timedelta(weeks=weeks - 1)))
        opened.append(roles.count("ingestion"))
    assert opened[0] == opened[1]


def test_a_second_run_counts_what_changed_and_says_which_records(runs: Runs) -> None:
    runs.csv.numbers = range(30)
    runs.ok(CITY)
    runs.csv.numbers = range(33)
    runs.csv.texts = {4: "Un autre texte.", 5: "Encore un autre."}
    said = runs.ok(CITY)
    assert [said[f"run_{name}"] for name in COUNTS] == [33, 3, 2, 28, 0]
    changed = {(row.data["source_id"].rpartition("-")[2], row.data["change"]) for row in said["changed"].records}
    assert {change for _, change in changed} == {"created", "updated"}
    assert len(changed) == 5


def test_a_corrected_setting_reads_anew_what_is_stored(runs: Runs) -> None:
    runs.calendar.numbers = range(12)
    known = runs.ok(CALENDAR)["run_created"]
    elsewhere = {"ICS_DEFAULT_TIMEZONE": "America/Vancouver"}
    assert runs.ok(CALENDAR, settings=elsewhere)["run_updated"] == known > 0
    assert runs.ok(CALENDAR, settings=elsewhere)["run_skipped"] == known


def test_only_the_weeks_that_were_asked_for_are_imported(runs: Runs) -> None:
    runs.csv.numbers = range(42)
    middle = runs.first + timedelta(weeks=1)
    said = runs.ok(CITY, weeks=(middle, middle))
    assert said["run_created"] == 14
    assert said["outside_window"] == 28
    assert runs.query("SELECT DISTINCT week FROM raw_events") == [{"week": middle}]


@pytest.mark.parametrize("asset", [CITY, CALENDAR])
def test_an_event_that_left_the_weeks_of_the_import_has_its_new_date_and_is_not_withdrawn(
    asset: str, runs: Runs
) -> None:
    feed = runs.csv if asset == CITY else runs.calendar
    feed.numbers = range(14, 21)
    runs.ok(asset)
    feed.days[14] = runs.first + timedelta(weeks=30)
    said = runs.ok(asset)
    assert (said["run_updated"], said["run_withdrawn"], said["outside_window"]) == (1, 0, 0)
    assert runs.query(
        "SELECT withdrawn_at FROM raw_events WHERE local_date > %(last)s", last=feed.last + timedelta(weeks=1)
    ) == [{"withdrawn_at": None}]
    said = runs.ok(asset)
    assert (said["run_updated"], said["run_withdrawn"], said["outside_window"]) == (0, 0, 1)


def test_records_that_vanish_are_withdrawn_and_too_many_of_them_fail_the_check(runs: Runs) -> None:
    late = range(14, 21)  # the third week of the feed, so that nothing of it is over
    runs.csv.numbers = late
    runs.ok(CITY)
    runs.csv.numbers = list(late)[1:]
    assert runs.ok(CITY)["run_withdrawn"] == 1
    runs.csv.numbers = list(late)[5:]
    outcome = runs(CITY)
    assert outcome.success, "a guard that is not blocking does not fail the run"
    assert [text.partition(": ")[0] for text in outcome.failed_checks] == [
        "raw_events/open_data_montreal:withdrawal_guard"
    ]
    assert "withdrawal_refused" in runs.metadata(CITY)
    said = runs.ok(CITY, config={"accept_withdrawals": True})
    assert said["run_withdrawn"] == 4


def test_a_row_that_disagrees_with_the_ledger_fails_the_run(runs_with_own_schema: Runs) -> None:
    runs = runs_with_own_schema
    runs.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.first_job := -1; NEW.last_change_job := -1; RETURN NEW; END $$"
    )
    runs.execute(
        "CREATE TRIGGER spoil BEFORE INSERT ON raw_events FOR EACH ROW"
        " WHEN (NEW.source_id LIKE '%%7') EXECUTE FUNCTION spoil()",
        unused=1,
    )
    runs.csv.numbers = range(20)
    outcome = runs(CITY)
    assert not outcome.success
    [check] = outcome.failed_checks
    assert check.startswith("raw_events/open_data_montreal:counts_reconcile: ")
    assert "created: the ledger says 20, the tables 18" in check
    assert runs.instance.get_run_by_id(outcome.run_id).tags[RETRY_TAG] == "false", (
        "the tables will not agree by themselves"
    )


def test_a_failed_blocking_check_keeps_what_follows_from_starting(runs_with_own_schema: Runs) -> None:
    runs = runs_with_own_schema
    runs.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.first_job := -1; RETURN NEW; END $$"
    )
    runs.execute("CREATE TRIGGER spoil BEFORE INSERT ON raw_events FOR EACH ROW EXECUTE FUNCTION spoil()")
    runs.csv.numbers = range(5)
    assert not runs(CITY, "deduplicated_events").success
    assert runs.query("SELECT count(*) AS n FROM deduplicated_events") == [{"n": 0}]
    assert [job["source"] for job in runs.jobs()] == ["open_data_montreal"]


@pytest.mark.parametrize(
    ("source", "missing"),
    [("ticketmaster", "TICKETMASTER_API_KEY"), ("eventbrite", "EVENTBRITE_TOKEN"), ("meetup", "MEETUP_GROUPS")],
)
def test_a_source_that_is_off_says_what_to_set_and_is_not_tried_again(runs: Runs, source: str, missing: str) -> None:
    outcome = runs(f"raw_events/{source}")
    assert not outcome.success
    [problem] = outcome.problems
    assert problem.startswith(f"source {source} is not enabled: set ")
    assert missing in problem
    assert runs.events(dg.DagsterEventType.STEP_UP_FOR_RETRY) == []
    assert runs.instance.get_run_by_id(outcome.run_id).tags[RETRY_TAG] == "false"
    assert runs.jobs() == []


class _Failing:
    """A source whose fetch fails so many times, after its first page."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: BaseException, *, times: int) -> None:
        original = OpenDataMontrealSource.fetch
        self.fetches = 0

        def fetch(source: OpenDataMontrealSource, *arguments: Any) -> Iterator[Page]:
            self.fetches += 1
            pages = original(source, *arguments)
            if self.fetches <= times:
                first = next(pages)
                yield Page(records=first.records[:7])
                raise error
            yield from pages

        monkeypatch.setattr(OpenDataMontrealSource, "fetch", fetch)


def test_a_transient_failure_is_tried_again_in_the_same_run_and_counted_once(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = _Failing(monkeypatch, TransientError("the city is away", retry_after=0.01), times=2)
    monkeypatch.setattr("ingestion_assets.events.loading.BATCH_RECORDS", 3)
    runs.csv.numbers = range(20)
    said = runs.ok(CITY)
    assert failing.fetches == 3
    assert len(runs.events(dg.DagsterEventType.STEP_UP_FOR_RETRY)) == 2
    [job] = runs.jobs()
    assert (job["attempt"], job["nb_fetched"], job["nb_created"], job["nb_skipped"]) == (3, 20, 20, 0)
    assert [said[f"run_{name}"] for name in COUNTS] == [20, 20, 0, 0, 0]
    assert_books_balance(runs.database)


def test_a_transient_failure_without_a_delay_waits_longer_each_time(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_FIRST_WAIT", 0.001)
    _Failing(monkeypatch, TransientError("the city is away"), times=2)
    runs.csv.numbers = range(8)
    runs.ok(CITY)
    waits = [event.event_specific_data.seconds_to_wait for event in runs.events(dg.DagsterEventType.STEP_UP_FOR_RETRY)]
    assert waits == [0.001, 0.004]


def test_a_failure_that_goes_on_is_given_up_and_leaves_a_closed_ledger(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = _Failing(monkeypatch, TransientError("the city is away", retry_after=0.001), times=99)
    runs.csv.numbers = range(8)
    outcome = runs(CITY)
    assert not outcome.success
    assert failing.fetches == failures.STEP_RETRIES + 1
    assert outcome.problems == ["the city is away (given up after 4 attempts of the step)"]
    [job] = runs.jobs()
    assert (job["status"], job["error_code"], job["error_text"]) == ("ERROR", "TransientError", "the city is away")
    assert runs.instance.get_run_by_id(outcome.run_id).tags[RETRY_TAG] == "false"


def test_a_failure_that_names_no_delay_is_given_up_and_does_not_say_when_to_come_back(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait that would follow the last attempt is our own, and longer than a step waits."""
    monkeypatch.setattr(failures, "_FIRST_WAIT", failures._FIRST_WAIT / 1_000)
    monkeypatch.setattr(failures, "LONGEST_STEP_WAIT", failures.LONGEST_STEP_WAIT / 1_000)
    failing = _Failing(monkeypatch, TransientError("the city is away"), times=99)
    runs.csv.numbers = range(8)
    outcome = runs(CITY)
    assert failing.fetches == failures.STEP_RETRIES + 1
    assert outcome.problems == ["the city is away (given up after 4 attempts of the step)"]


def test_a_delay_that_is_too_long_to_wait_for_ends_the_run_and_says_when_to_come_back(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = _Failing(monkeypatch, TransientError("the daily quota is used up.", retry_after=3600), times=99)
    runs.csv.numbers = range(8)
    outcome = runs(CITY)
    assert failing.fetches == 1
    assert outcome.problems == ["the daily quota is used up. Come back in 3600 s."]


def test_an_interrupted_import_says_so_in_words(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ctrl-C raises in a step says nothing but its own name."""
    _Failing(monkeypatch, dg.DagsterExecutionInterruptedError(), times=1)
    runs.csv.numbers = range(8)
    outcome = runs(CITY)
    assert not outcome.success
    assert outcome.problems == ["interrupted; what was stored stays, and the same command takes it up again"]


def test_a_permanent_failure_is_not_tried_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = _Failing(monkeypatch, PermanentError("the key is wrong; check it"), times=99)
    runs.csv.numbers = range(8)
    outcome = runs(CITY)
    assert failing.fetches == 1
    assert outcome.problems == ["the key is wrong; check it"]
    assert runs.instance.get_run_by_id(outcome.run_id).tags[RETRY_TAG] == "false"


@pytest.mark.parametrize(
    ("asset", "name", "value", "said"),
    [
        (
            CITY,
            "INGESTION_ALLOW_PRIVATE_ADDRESSES",
            "maybe",
            "INGESTION_ALLOW_PRIVATE_ADDRESSES: Input should be a valid boo",
        ),
        (TAGS, "LLM_PROVIDERS", "openai", "LLM_PROVIDERS names openai, but OPENAI_API_KEY is not set"),
        (TAGS, "LLM_DEADLINE_SECONDS", "long", "LLM_DEADLINE_SECONDS: Input should be a valid number"),
        (
            TAGS,
            "TAG_ENRICHMENT_MAX_EVENTS_PER_RUN",
            "all",
            "TAG_ENRICHMENT_MAX_EVENTS_PER_RUN: Input should be a valid",
        ),
    ],
)
def test_a_setting_that_only_the_step_reads_is_named_and_not_tried_again(
    runs: Runs, asset: str, name: str, value: str, said: str
) -> None:
    """The run was repeated twice, and its error did not always name the variable."""
    runs.csv.numbers = range(8)
    outcome = runs(asset, settings={"OPENAI_API_KEY": "", name: value})
    assert outcome.problems[0].startswith(f"a setting cannot be used. {said}")
    assert runs.instance.get_run_by_id(outcome.run_id).tags[RETRY_TAG] == "false"
    assert [job["status"] for job in runs.jobs() if (job["error_text"] or "").startswith("a setting")] == ["ERROR"]


def test_an_error_that_nobody_classified_is_left_to_the_retry_of_the_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = _Failing(monkeypatch, ZeroDivisionError("a bug"), times=99)
    runs.csv.numbers = range(8)
    outcome = runs(CITY)
    assert failing.fetches == 1
    assert not outcome.success
    assert "a bug" in outcome.problems[0]
    assert RETRY_TAG not in runs.instance.get_run_by_id(outcome.run_id).tags
    assert [job["status"] for job in runs.jobs()] == ["ERROR"]


def test_one_failing_source_does_not_hold_back_the_other(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    _Failing(monkeypatch, PermanentError("the key is wrong"), times=99)
    runs.csv.numbers = runs.calendar.numbers = range(8)
    assert not runs(CITY, "raw_events/ics").success
    assert {job["source"]: job["status"] for job in runs.jobs()} == {"open_data_montreal": "ERROR", "ics": "SUCCESS"}


def test_a_feed_of_bad_records_warns_and_shows_them(runs: Runs) -> None:
    runs.csv.numbers = range(25)
    with runs.settings():
        text = runs.csv.path.read_text(encoding="utf-8")
    lines = text.splitlines()
    bad = runs.csv.path.with_name("bad.csv")
    bad.write_text(
        "\n".join([*lines, *(",https://montreal.ca/evenements/x-1,,2026-13-45,,,,,,,,,,,," for _ in range(4))])
    )
    said = runs.ok(CITY, settings={"OPEN_DATA_MONTREAL_CSV": str(bad)})
    assert said["run_errors"] == 4
    assert sum(row.data["records"] for row in said["errors_by_reason"].records) == 4
    assert len(said["rejected_records"].records) == 4
    checks = {
        e.asset_check_evaluation_data.check_name: e.asset_check_evaluation_data.passed
        for e in runs.events(dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    }
    assert checks["few_rejected"] is False
    assert checks["counts_reconcile"] is True
