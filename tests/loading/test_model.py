"""The loader against a model in plain Python, over random feeds, batch sizes, faults and retries."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ingestion_assets.events import loading
from ingestion_assets.events.model import Page
from ingestion_assets.ledger.import_jobs import ImportJob
from resources.errors import TransientError
from resources.postgres.database import Database, Session
from tests.ledger.faults import kill_session, lose_acknowledgement
from tests.ledger.invariants import assert_books_balance
from tests.loading.imports import FIRST, LAST, event, rejected
from tests.loading.model import Model, Record

IDS = [f"e{n}" for n in range(12)]
DAYS = [None, *(FIRST + timedelta(days=n) for n in (0, 6, 7, 13, 20)), LAST + timedelta(days=30)]

_events = st.builds(
    lambda key, day, n: event(key, day, n=n), st.sampled_from(IDS), st.sampled_from(DAYS), st.integers(0, 2)
)
_rejected = st.builds(rejected, st.sampled_from([None, *IDS]), st.sampled_from(DAYS))
_records = st.one_of(_events, _events, _events, _events, _rejected)
_feeds = st.lists(st.lists(_records, max_size=6), max_size=6)


@dataclass(frozen=True)
class Weather:
    """What befalls an attempt: the fetch breaks after so many records; every n-th transaction loses its connection."""

    break_after: int | None
    kill_every: int
    lose_every: int


@dataclass(frozen=True)
class Circumstances:
    """What decides about withdrawals."""

    today: date
    incomplete: bool
    accept: bool


_circumstances = st.builds(
    Circumstances,
    today=st.sampled_from([FIRST, FIRST + timedelta(days=10)]),
    incomplete=st.sampled_from([False, False, False, True]),
    accept=st.booleans(),
)
_weather = st.builds(
    Weather,
    break_after=st.one_of(st.none(), st.integers(0, 20)),
    kill_every=st.sampled_from([0, 0, 2, 3]),
    lose_every=st.sampled_from([0, 0, 2, 5]),
)
_calm = Weather(None, 0, 0)


class LoaderMachine(RuleBasedStateMachine):
    database: Database
    patch: pytest.MonkeyPatch

    @initialize()
    def empty(self) -> None:
        with self.database.transaction() as connection:
            connection.execute("TRUNCATE raw_events, import_jobs CASCADE")
        self.model = Model(FIRST, LAST)
        self.runs = 0

    @rule(
        feed=_feeds,
        batch=st.sampled_from([1, 2, 3, 5, 2000]),
        version=st.sampled_from([1, 1, 1, 2]),
        circumstances=_circumstances,
        weather=st.lists(_weather, max_size=2),
        retry_feed=st.one_of(st.none(), _feeds),
        new_run=st.booleans(),
        apart=st.booleans(),
    )
    def import_feed(
        self,
        feed: list[list[Record]],
        batch: int,
        version: int,
        circumstances: Circumstances,
        weather: list[Weather],
        retry_feed: list[list[Record]] | None,
        new_run: bool,
        apart: bool,
    ) -> None:
        """Attempts in bad weather, then one in good; each is a retry of the step or of the run."""
        self.patch.setattr(loading, "BATCH_RECORDS", batch)
        run, earlier = self._next_run(), set[str]()
        done = False
        for number, sky in enumerate([*weather, _calm]):
            pages = feed if number == 0 or retry_feed is None else retry_feed
            self.model.begin(run)
            done = self.model.load(run, pages, batch=batch, version=version, apart=apart, break_after=sky.break_after)
            if done:
                today, incomplete, accept = astuple(circumstances)
                listed = sum(map(len, pages))
                self.model.finish(run, today=today, listed=listed, incomplete=incomplete, accept=accept)
            with contextlib.nullcontext() if done else pytest.raises(TransientError), self._faults(sky):
                self._load(run, earlier, pages, version, circumstances, sky.break_after, apart)
            self._compare(run, done, fetched=sum(map(len, pages)) if number == 0 and done and not apart else None)
            if done:
                break
            if new_run:
                earlier.add(run)
                run = self._next_run()
        assert done

    def _next_run(self) -> str:
        self.runs += 1
        return f"run-{self.runs}"

    def _load(
        self,
        run: str,
        earlier: set[str],
        pages: Sequence[Sequence[Record]],
        version: int,
        circumstances: Circumstances,
        break_after: int | None,
        apart: bool,
    ) -> None:
        with ImportJob(
            self.database,
            source="feed",
            run_id=run,
            partition_start=FIRST,
            partition_end=LAST,
            earlier_runs=earlier,
            wait=0,
        ) as job:
            loading.load_pages(
                (self._apart(page) if apart else page for page in _paged(pages, circumstances.incomplete, break_after)),
                job,
                volatile_paths=(),
                record_version=version,
                weeks=(FIRST, LAST),
                today=circumstances.today,
                accept_withdrawals=circumstances.accept,
            )

    def _apart(self, page: Page) -> Page:
        outside = [record for record in page.records if self.model.is_outside(record)]
        inside = [record for record in page.records if record not in outside]
        return replace(page, records=inside, outside=outside, outside_window=len(outside))

    @contextlib.contextmanager
    def _faults(self, sky: Weather) -> Iterator[None]:
        original = Session.transact
        number = 0

        def transact(session: Session, work: Any) -> Any:
            nonlocal number
            number += 1
            if sky.kill_every and number % sky.kill_every == 0:
                work = kill_session(work)
            elif sky.lose_every and number % sky.lose_every == 0:
                work = lose_acknowledgement(work)
            return original(session, work)

        with self.patch.context() as patch:
            patch.setattr(Session, "transact", transact)
            yield

    def _compare(self, run: str, done: bool, fetched: int | None) -> None:
        expected = self.model.jobs[run]
        [job] = self.database.fetch_all("SELECT * FROM import_jobs WHERE run_id = %(run)s", {"run": run})
        assert job["status"] == ("SUCCESS" if done else "ERROR")
        assert job["attempt"] == expected.attempt
        assert _counted(job) == +expected.total()
        weeks = self.database.fetch_all("SELECT * FROM import_job_partitions WHERE job_id = %(id)s", {"id": job["id"]})
        assert {row["week"]: _counted(row) for row in weeks if _counted(row)} == {
            week: +counter for week, counter in expected.weeks.items() if +counter
        }
        if done:
            assert job["nb_withdrawn"] == expected.withdrawn
        if fetched is not None:
            assert job["nb_fetched"] == fetched

    @invariant()
    def tables_are_what_the_model_says(self) -> None:
        rows = self.database.fetch_all("SELECT * FROM raw_events")
        assert {
            row["source_id"]: (
                row["payload"],
                row["record_version"],
                row["local_date"],
                row["withdrawn_at"] is not None,
            )
            for row in rows
        } == {key: (row.payload, row.version, row.day, row.withdrawn) for key, row in self.model.rows.items()}
        assert_books_balance(self.database)


def _paged(pages: Sequence[Sequence[Record]], incomplete: bool, break_after: int | None) -> Iterator[Page]:
    left = break_after
    for page in pages:
        if left is not None and len(page) > left:
            # A page arrives whole or not at all: what came before the break is a shorter page.
            yield Page(records=page[:left])
            raise TransientError("the service went away")
        left = None if left is None else left - len(page)
        yield Page(records=page, incomplete="one feed did not answer" if incomplete else None)
    if break_after is not None:
        raise TransientError("the service went away")
    if incomplete:
        yield Page(records=(), incomplete="one feed did not answer")


def _counted(row: dict[str, Any]) -> Counter[str]:
    return +Counter({name: row[f"nb_{name}"] for name in ("created", "updated", "skipped", "errors")})


def _machine(database: Database, patch: pytest.MonkeyPatch) -> type[LoaderMachine]:
    patch.setattr("resources.postgres.database._FIRST_WAIT", 0.001)
    return type("Machine", (LoaderMachine,), {"database": database, "patch": patch})


@pytest.mark.timeout(900)  # a failure is made small before it is shown
def test_the_loader_does_what_the_model_does(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        _machine(database, monkeypatch), settings=settings(max_examples=12, stateful_step_count=5)
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_loader_does_what_the_model_does_for_long(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        _machine(database, monkeypatch), settings=settings(max_examples=400, stateful_step_count=12)
    )
