"""Who asks for which weeks, and when: schedules for the coming ones, automation for the changed, a sweep for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from ingestion_assets.definitions import build_definitions
from ingestion_assets.events import raw_checks
from ingestion_assets.events.schedules import build_look_for_late, build_refresh, sweep
from ingestion_assets.events.sources import SOURCE_NAMES
from ingestion_assets.launch import check_weeks
from ingestion_assets.partitions import RANGE_END_TAG, RANGE_START_TAG, coming_weeks, contiguous, weekly_partitions
from resources.definitions import PostgresResource
from resources.errors import PermanentError
from tests.assets.runs import CALENDAR, CITY, EVENTS, TAGS, Runs
from tests.fakes.feeds import this_week

MONTREAL = ZoneInfo("America/Toronto")


def _tick(schedule: dg.ScheduleDefinition, at: datetime, **options: Any) -> Any:
    with dg.build_schedule_context(scheduled_execution_time=at, **options) as context:
        return schedule.evaluate_tick(context)


def test_old_imports_turn_red_though_nothing_is_imported(runs: Runs) -> None:
    """The check used to be evaluated with an import alone, just after its success."""
    runs.csv.numbers = range(3)
    runs.ok(CITY)
    runs.execute("UPDATE import_jobs SET finished_at = now() - interval '37 h', started_at = now() - interval '38 h'")
    job, schedule = build_look_for_late()
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    with runs.settings():
        result = runs.defs.resolve_job_def(job.name).execute_in_process(instance=runs.instance)
    red = {str(each.asset_key.path[-1]): each for each in result.get_asset_check_evaluations() if not each.passed}
    assert "ended 37.0 h ago" in str(red["open_data_montreal"].description)
    assert set(red) == {"open_data_montreal", "ics"}, "ics is set up and was never imported; the others are off"


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        (date(2026, 11, 21), date(2026, 11, 16), date(2027, 2, 1)),
        (date(2026, 11, 22), date(2026, 11, 16), date(2027, 2, 1)),
        (date(2026, 11, 23), date(2026, 11, 23), date(2027, 2, 8)),
        # Clocks go back at 2:00 on 2026-11-01, a Sunday, and forward on 2027-03-14: still twelve Mondays.
        (date(2026, 11, 1), date(2026, 10, 26), date(2027, 1, 11)),
        (date(2027, 3, 14), date(2027, 3, 8), date(2027, 5, 24)),
        (date(2026, 12, 31), date(2026, 12, 28), date(2027, 3, 15)),
    ],
)
def test_a_schedule_asks_for_the_coming_twelve_weeks_as_one_run(day: date, first: date, last: date) -> None:
    _, schedule = build_refresh("ics")
    result = _tick(schedule, datetime(day.year, day.month, day.day, 3, 7, tzinfo=MONTREAL))
    [request] = result.run_requests
    assert request.tags[RANGE_START_TAG] == first.isoformat()
    assert request.tags[RANGE_END_TAG] == last.isoformat()
    assert (last - first).days == 11 * 7
    assert request.partition_key is None


def test_each_tick_has_a_key_of_its_own() -> None:
    """A constant key would ask once and never again."""
    _, schedule = build_refresh("ics")
    at = datetime(2026, 11, 21, 3, 7, tzinfo=MONTREAL)
    keys = [_tick(schedule, at + timedelta(days=days)).run_requests[0].run_key for days in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2]


def test_schedules_run_at_night_in_the_platforms_zone_and_not_all_at_once() -> None:
    schedules = [build_refresh(name)[1] for name in SOURCE_NAMES]
    assert {schedule.execution_timezone for schedule in schedules} == {"America/Toronto"}
    crons = {str(schedule.cron_schedule) for schedule in schedules}
    assert len(crons) == len(SOURCE_NAMES)
    assert all(cron.split()[1:] == ["3", "*", "*", "*"] for cron in crons)


def test_coming_weeks_begin_with_the_running_one() -> None:
    assert coming_weeks(date(2026, 11, 22), 1) == (date(2026, 11, 16), date(2026, 11, 16))
    assert coming_weeks(date(2026, 11, 23), 2) == (date(2026, 11, 23), date(2026, 11, 30))


@pytest.mark.parametrize(("horizon", "weeks"), [("4", 5), ("0", 1), ("11", 12), ("52", 12)])
def test_a_schedule_asks_for_no_week_beyond_the_horizon(
    horizon: str, weeks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer than twelve weeks every night imported some that are no partitions, and `ingest run` refused them."""
    monkeypatch.setenv("INGESTION_HORIZON_WEEKS", horizon)
    _, schedule = build_refresh("ics")
    [request] = _tick(schedule, datetime(2026, 11, 21, 3, 7, tzinfo=MONTREAL)).run_requests
    assert request.tags[RANGE_END_TAG] == (date(2026, 11, 16) + timedelta(weeks=weeks - 1)).isoformat()
    assert f"the coming {weeks} weeks" in str(schedule.description)


def test_weeks_are_gathered_into_ranges_without_gaps() -> None:
    monday = date(2026, 11, 16)
    weeks = [monday + timedelta(weeks=n) for n in (0, 1, 3, 5, 6, 7)]
    assert contiguous(weeks) == [(weeks[0], weeks[1]), (weeks[2], weeks[2]), (weeks[3], weeks[5])]
    assert contiguous([]) == []
    assert contiguous(weeks, longest=2) == [
        (weeks[0], weeks[1]),
        (weeks[2], weeks[2]),
        (weeks[3], weeks[4]),
        (weeks[5], weeks[5]),
    ]


def test_weeks_that_are_no_partitions_are_refused_with_the_ones_that_are() -> None:
    with pytest.raises(PermanentError, match=r"week of 2019-12-30 cannot be materialized: .* 2020-01-06 to "):
        check_weeks(date(2019, 12, 30), this_week())
    with pytest.raises(PermanentError, match="INGESTION_HORIZON_WEEKS"):
        check_weeks(this_week(), this_week() + timedelta(weeks=53))
    check_weeks(this_week(), this_week() + timedelta(weeks=52))


class Automation:
    """Ticks of the automation sensor over materializations that are only reported."""

    def __init__(self) -> None:
        self.instance = dg.DagsterInstance.ephemeral()
        self.defs = build_definitions()
        self.cursor: Any = None

    def materialized(self, asset: str, *weeks: date) -> None:
        for week in weeks:
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(dg.AssetKey(asset.split("/")), partition=week.isoformat())
            )

    def checked(self, asset: str, name: str, *, passed: bool) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(asset.split("/")), check_name=name, passed=passed, metadata={}
            )
        )

    def started_check(self, asset: str, name: str) -> dg.DagsterRun:
        """A run that has not come to its check yet."""
        selection = dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(asset.split("/")), name))
        jobs = dg.Definitions(jobs=[dg.define_asset_job("check", selection=selection)])
        job = dg.Definitions.merge(self.defs, jobs).resolve_job_def("check")
        return self.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)

    def requested(self) -> dict[str, set[date]]:
        """What one tick asks for."""
        result = dg.evaluate_automation_conditions(
            self.defs, self.instance, asset_selection=dg.AssetSelection.assets(EVENTS, TAGS), cursor=self.cursor
        )
        self.cursor = result.cursor
        found = {
            asset: {
                date.fromisoformat(key)
                for key in result.get_requested_partitions(dg.AssetKey(asset))
                if key is not None
            }
            for asset in (EVENTS, TAGS)
        }
        return {asset: weeks for asset, weeks in found.items() if weeks}


@pytest.fixture
def automation() -> Iterator[Automation]:
    made = Automation()
    yield made
    made.instance.dispose()


W = [this_week() + timedelta(weeks=n) for n in range(4)]


def _both(*weeks: date) -> dict[str, set[date]]:
    """Tags are asked for with the events that they follow, so that one run does both."""
    return {EVENTS: set(weeks), TAGS: set(weeks)}


def test_the_weeks_that_changed_are_followed_though_partitions_reach_a_year_ahead(automation: Automation) -> None:
    assert automation.requested() == {}
    automation.materialized(CITY, W[0], W[2])
    assert automation.requested() == _both(W[0], W[2])
    assert automation.requested() == {}


def test_tags_follow_events_that_were_resolved_by_hand(automation: Automation) -> None:
    automation.requested()
    automation.materialized(EVENTS, W[3])
    assert automation.requested() == {TAGS: {W[3]}}


def test_a_source_that_never_succeeded_holds_nobody_back(automation: Automation) -> None:
    automation.requested()
    automation.materialized(CALENDAR, W[1])
    assert automation.requested() == _both(W[1])


def test_two_sources_that_arrive_together_are_followed_once(automation: Automation) -> None:
    automation.requested()
    automation.materialized(CITY, W[0])
    automation.materialized(CALENDAR, W[0])
    assert automation.requested() == _both(W[0])
    automation.materialized(EVENTS, W[0])
    assert EVENTS not in automation.requested()


def test_a_second_update_before_the_next_tick_is_not_lost(automation: Automation) -> None:
    automation.requested()
    automation.materialized(CITY, W[0])
    assert automation.requested() == _both(W[0])
    automation.materialized(EVENTS, W[0])
    automation.materialized(CALENDAR, W[0])
    assert automation.requested()[EVENTS] == {W[0]}


def test_an_update_of_a_past_week_is_followed_too(automation: Automation) -> None:
    automation.requested()
    old = date(2024, 3, 11)
    automation.materialized(CITY, old)
    assert automation.requested() == _both(old)


def test_what_a_blocking_check_refused_is_not_followed_until_it_passes(automation: Automation) -> None:
    automation.requested()
    automation.materialized(CITY, W[0])
    automation.checked(CITY, "counts_reconcile", passed=False)
    assert automation.requested() == {}
    automation.materialized(CALENDAR, W[0], W[1])
    automation.checked(CALENDAR, "counts_reconcile", passed=True)
    assert automation.requested() == {}, "the weeks hold records of both"
    automation.checked(CITY, "counts_reconcile", passed=True)
    assert automation.requested() == _both(W[0], W[1]), "nothing that was held back is lost"
    assert automation.requested() == {}


def test_a_refused_import_is_followed_when_the_next_one_agrees(runs_with_own_schema: Runs) -> None:
    """The same with imports and checks that were run."""
    runs, cursor = runs_with_own_schema, None

    def requested() -> set[str | None]:
        nonlocal cursor
        selection = dg.AssetSelection.assets(EVENTS)
        result = dg.evaluate_automation_conditions(runs.defs, runs.instance, asset_selection=selection, cursor=cursor)
        cursor = result.cursor
        return set(result.get_requested_partitions(dg.AssetKey(EVENTS)))

    requested()
    runs.execute(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.first_job := -1; RETURN NEW; END $$"
    )
    runs.execute("CREATE TRIGGER spoil BEFORE INSERT ON raw_events FOR EACH ROW EXECUTE FUNCTION spoil()")
    runs.csv.numbers = range(9)
    assert not runs(CITY).success
    assert requested() == set()
    runs.execute("DROP TRIGGER spoil ON raw_events")
    runs.ok(CITY)
    assert requested() == {str(runs.first + timedelta(weeks=n)) for n in range(3)}
    assert requested() == set()


def test_a_check_that_only_warns_holds_nobody_back(automation: Automation) -> None:
    automation.requested()
    automation.materialized(CITY, W[0])
    automation.checked(CITY, "few_rejected", passed=False)
    assert automation.requested() == _both(W[0])


def test_what_a_check_said_holds_until_its_source_is_run_again(automation: Automation) -> None:
    """A run that fails before its checks says nothing about the rows: no source holds the others back for ever."""
    automation.requested()
    automation.materialized(CITY, W[0])
    automation.checked(CITY, "counts_reconcile", passed=False)
    run = automation.started_check(CITY, "counts_reconcile")
    assert automation.requested() == {}
    automation.instance.report_run_failed(run)
    assert automation.requested() == _both(W[0])


def test_rows_are_not_followed_before_the_checks_of_their_run_have_looked_at_them(automation: Automation) -> None:
    automation.requested()
    run = automation.started_check(EVENTS, "every_event_has_a_record")
    automation.materialized(EVENTS, W[0])
    assert automation.requested() == {}
    automation.instance.report_run_failed(run)
    assert automation.requested() == {TAGS: {W[0]}}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One that a schedule can open: that of the runs lives in memory."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as made:
        yield made


def _swept(runs: Runs, instance: dg.DagsterInstance) -> tuple[list[tuple[str, str]], str | None]:
    with runs.settings():
        result = _tick(
            sweep,
            datetime(2026, 11, 21, 5, 30, tzinfo=MONTREAL),
            resources={"postgres": PostgresResource()},
            instance=instance,
        )
    ranges = [(request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) for request in result.run_requests]
    return ranges, result.skip_message


def test_the_sweep_asks_for_weeks_that_nobody_resolved_and_then_for_none(
    runs: Runs, instance: dg.DagsterInstance
) -> None:
    assert _swept(runs, instance) == ([], "Every week was resolved from what is stored now.")
    runs.csv.weeks = 5
    runs.csv.numbers = [n for n in range(35) if n // 7 != 2]
    runs.ok(CITY)
    week = [(runs.first + timedelta(weeks=n)).isoformat() for n in range(5)]
    assert _swept(runs, instance)[0] == [(week[0], week[1]), (week[3], week[4])]
    runs.ok(EVENTS)
    assert _swept(runs, instance)[0] == []
    runs.csv.texts = {30: "Un autre texte."}
    runs.ok(CITY)
    assert _swept(runs, instance)[0] == [(week[4], week[4])]


def test_the_sweep_asks_for_nothing_while_a_blocking_check_of_a_source_has_failed_lately(
    runs: Runs, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.csv.numbers = range(3)
    runs.ok(CITY)

    def checked(*, passed: bool) -> None:
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=dg.AssetKey(CITY.split("/")), check_name="counts_reconcile", passed=passed, metadata={}
            )
        )

    checked(passed=False)
    ranges, why = _swept(runs, instance)
    assert ranges == []
    assert "blocking check of open_data_montreal failed" in (why or "")
    with monkeypatch.context() as later:
        later.setattr(raw_checks, "FRESH_WITHIN", timedelta(0))
        assert _swept(runs, instance)[0] != [], "a source that is imported no more holds nobody back"
    checked(passed=True)
    assert _swept(runs, instance)[0] != []


def test_the_sweep_leaves_weeks_that_are_no_partitions(runs: Runs, instance: dg.DagsterInstance) -> None:
    runs.csv.numbers = range(3)
    runs.ok(CITY)
    runs.execute("UPDATE raw_events SET week = '2011-03-07', local_date = '2011-03-08'")
    assert _swept(runs, instance)[0] == []
    assert "2011-03-07" not in weekly_partitions().get_partition_keys()
