"""The same truth through the assets themselves: a Dagster run with its event log, checks, metadata and progress."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from io import StringIO
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from ingestion_assets import progress
from ingestion_assets.cli import console
from ingestion_assets.events import raw_events
from ingestion_assets.events.raw_events import raw_events_key
from ingestion_assets.events.sources import SOURCE_NAMES
from ingestion_assets.launch import materialize
from resources.postgres.database import Database
from tests.fakes._server import FakeService, FaultPlan, Truth, VirtualClock
from tests.fakes.fetching import environment
from tests.pipeline.importing import ALLOW, FIRST, LAST, Pipeline, assert_counted, definitions, total
from tests.pipeline.services import SERVICES, Days

ONE_A_SOURCE = [name for name in SERVICES if name == SERVICES[name].source or "pages" in name]
"""Every source, and the second way of La Vitrine."""


class Runs:
    """Runs of raw event assets on one Dagster instance and one database."""

    def __init__(self, database: Database, instance: dg.DagsterInstance) -> None:
        self.pipeline = Pipeline(database)
        self.instance = instance
        self.clock = VirtualClock()
        self.reports: list[tuple[str, str]] = []
        self.run_id = ""

    def make(self, name: str, size: int, malformed: int, faults: FaultPlan | None) -> FakeService:
        """A fake on the clock of these runs."""
        fake = SERVICES[name].make(size, malformed, faults)
        fake.clock = self.clock
        return fake

    def __call__(self, *fakes: FakeService) -> None:
        """Import all of them in one run, which must succeed with its checks."""
        values = {name: value for fake in fakes for name, value in fake.environment().items()}
        with (
            environment({**ALLOW, **values, "DATABASE_URL": self.pipeline.database.url}),
            definitions(self.clock) as defs,
            progress.listening(lambda name, text: self.reports.append((name, text))),
        ):
            keys = [raw_events_key(source) for source in dict.fromkeys(fake.name for fake in fakes)]
            outcome = materialize(defs, keys, first=FIRST, last=LAST, instance=self.instance)
        assert (outcome.problems, outcome.failed_checks) == ([], [])
        assert outcome.success
        self.run_id = outcome.run_id

    def metadata(self, source: str) -> dict[str, Any]:
        """Metadata of the latest materialization, as plain values."""
        event = self.instance.get_latest_materialization_event(raw_events_key(source))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}

    def log(self) -> list[str]:
        """What the last run's log says in words."""
        return [entry.user_message for entry in self.instance.all_logs(self.run_id)]

    def assert_counted(self, source: str, truth: Truth, days: Days) -> None:
        """Ledger, tables and the numbers that people see in the UI."""
        assert_counted(self.pipeline, source, truth, days)
        said = self.metadata(source)
        names = ("created", "updated", "skipped", "errors")
        assert Truth(**{name: said[f"run_{name}"] for name in names}) == truth
        assert said["dagster/row_count"] == len(days)


@pytest.fixture
def runs(database: Database, make_instance: Callable[[], dg.DagsterInstance]) -> Runs:
    return Runs(database, make_instance())


@pytest.mark.parametrize("passes", [(1,), pytest.param((1, 2), marks=pytest.mark.soak)])
def test_one_run_of_all_seven_sources_counts_the_known_truth_under_faults(passes: tuple[int, ...], runs: Runs) -> None:
    """La Vitrine in both ways at once: its truth is the sum of the two."""
    with ExitStack() as stack:
        fakes = {name: stack.enter_context(runs.make(name, 120, 4, FaultPlan.usual(3))) for name in ONE_A_SOURCE}
        for number in passes:
            for fake in fakes.values():
                fake.advance_to_pass(number)
            runs(*fakes.values())
            for source in SOURCE_NAMES:
                mine = [name for name in fakes if SERVICES[name].source == source]
                truth = total(fakes[name].truth(number) for name in mine)
                days = {key: day for name in mine for key, day in SERVICES[name].days(fakes[name]).items()}
                runs.assert_counted(source, truth, days)
        assert [line for fake in fakes.values() for line in fake.early] == []
        assert all(fake.served.total() for fake in fakes.values())


@pytest.mark.soak
@pytest.mark.parametrize("name", ONE_A_SOURCE)
def test_a_run_of_one_source_counts_the_known_truth_in_every_pass(name: str, runs: Runs) -> None:
    service = SERVICES[name]
    with runs.make(name, 400, 10, FaultPlan.usual(3)) as fake:
        for number, truth in ((1, fake.truth(1)), (2, fake.truth(2)), (2, fake.repeat_truth(2))):
            fake.advance_to_pass(number)
            runs(fake)
            runs.assert_counted(service.source, truth, service.days(fake))
        assert fake.early == []
        assert fake.served.total() > 0


def test_pages_and_records_of_a_long_import_are_in_the_log_and_with_the_listener(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_events, "_LOG_EVERY", 0.0)
    with runs.make("allevents", 950, 0, None) as fake:
        runs(fake)
    expected = [f"{page} pages, {min(page * 100, 950)} records" for page in range(1, 11)]
    assert [text for _, text in runs.reports] == expected
    assert {name for name, _ in runs.reports} == {"allevents"}
    lines = [line for line in runs.log() if line.endswith("so far")]
    assert lines == [f"allevents: {text} so far" for text in expected]


def test_a_short_import_does_not_fill_the_log_and_a_terminal_shows_how_far_it_is(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=written, force_terminal=True, width=100))
    with runs.make("allevents", 450, 0, None) as fake, console.progress_on_stderr("allevents"):
        runs(fake)
    assert [line for line in runs.log() if line.endswith("so far")] == []
    assert runs.reports[-1] == ("allevents", "5 pages, 450 records")
    assert "allevents: 5 pages, 450 records" in written.getvalue()


def test_where_there_is_no_terminal_the_first_and_the_last_report_are_lines(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=written, width=20))
    with runs.make("allevents", 450, 0, None) as fake, console.progress_on_stderr("allevents"):
        runs(fake)
    assert written.getvalue() == "allevents: 1 pages, 100 records\nallevents: 5 pages, 450 records\n"
