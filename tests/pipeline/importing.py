"""One import as the asset does it: the real source, client, ledger job, loader and tables; waits pass in virtual time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import dagster as dg

from ingestion_assets.counts import Counts
from ingestion_assets.events.loading import LoadResult, load_pages
from ingestion_assets.events.model import FetchWindow, RejectReason, week_of
from ingestion_assets.events.raw_checks import build_raw_checks
from ingestion_assets.events.raw_events import build_raw_events
from ingestion_assets.events.sources import SOURCE_NAMES, source_class
from ingestion_assets.ledger.import_jobs import ImportJob
from resources.definitions import OutboundResource, PostgresResource
from resources.http import OutboundClient, OutboundPolicy
from resources.postgres.database import Database
from resources.postgres.http_store import PostgresRequestBudget, PostgresValidatorCache
from tests.fakes._server import FakeService, Truth, VirtualClock
from tests.fakes.fetching import environment
from tests.ledger.invariants import assert_books_balance

FIRST, LAST = date(2026, 11, 16), date(2027, 2, 22)
"""The weeks, by their Mondays, in which the fakes put their events."""
WINDOW = FetchWindow(FIRST, LAST + timedelta(days=7), "America/Toronto")
ALLOW = {"INGESTION_ALLOW_PRIVATE_ADDRESSES": "true"}


@contextmanager
def virtual_client(policy: OutboundPolicy, database: Database, clock: VirtualClock) -> Iterator[OutboundClient]:
    """The client that `OutboundResource` builds, on a clock that jumps."""
    budget = PostgresRequestBudget(database)
    try:
        with OutboundClient(
            policy,
            cache=PostgresValidatorCache(database),
            budget=budget,
            clock=clock.monotonic,
            sleep=clock.sleep,
            wall_clock=clock.time,
        ) as client:
            yield client
    finally:
        budget.close()


class VirtualOutbound(OutboundResource):
    """`OutboundResource` for runs in this process: only time is replaced."""

    @contextmanager
    def client(self, policy: OutboundPolicy) -> Iterator[OutboundClient]:
        with virtual_client(policy, self.postgres.database, _clocks[-1]) as client:
            yield client


_clocks: list[VirtualClock] = []


@contextmanager
def definitions(clock: VirtualClock) -> Iterator[dg.Definitions]:
    """All raw event assets and their checks, built from the environment as it is now, with `clock` for outbound calls."""
    postgres = PostgresResource()
    built = dg.Definitions(
        assets=[build_raw_events(name) for name in SOURCE_NAMES],
        asset_checks=[check for name in SOURCE_NAMES for check in build_raw_checks(name)],
        resources={"postgres": postgres, "outbound": VirtualOutbound(postgres=postgres)},
        executor=dg.in_process_executor,
    )
    _clocks.append(clock)
    try:
        yield built
    finally:
        _clocks.pop()


@dataclass
class Pipeline:
    """Imports fakes into one database, one job an import, and looks at what the tables hold."""

    database: Database
    window: FetchWindow = WINDOW
    _runs: Iterator[int] = field(default_factory=itertools.count)

    def load(
        self,
        fake: FakeService,
        *,
        extra: Mapping[str, str] | None = None,
        progress: Callable[[int, int], None] = lambda _pages, _records: None,
    ) -> LoadResult:
        """One import of what the fake serves now."""
        with environment({**ALLOW, **fake.environment(), **(extra or {})}):
            cls: Any = source_class(fake.name)
            source = cls(cls.settings_class())
            weeks = (self.window.start, self.window.end - timedelta(days=7))
            job = ImportJob(
                self.database,
                source=fake.name,
                run_id=f"{fake.name}-{next(self._runs)}",
                partition_start=weeks[0],
                partition_end=weeks[1],
                wait=0,
            )
            with job, virtual_client(source.policy, self.database, fake.clock) as client:
                return load_pages(
                    source.fetch(self.window, client),
                    job,
                    volatile_paths=source.volatile_paths,
                    record_version=source.record_version,
                    weeks=weeks,
                    today=self.window.start,
                    progress=progress,
                )

    def job(self, source: str) -> dict[str, Any]:
        """The ledger row of the last import."""
        rows = self.database.fetch_all(
            "SELECT * FROM import_jobs WHERE source = %(source)s ORDER BY id DESC LIMIT 1", {"source": source}
        )
        return rows[0]

    def days(self, source: str) -> dict[str, date | None]:
        """Local start dates by id of everything stored and not withdrawn."""
        rows = self.database.fetch_all(
            "SELECT source_id, local_date FROM raw_events WHERE source = %(source)s AND withdrawn_at IS NULL",
            {"source": source},
        )
        return {row["source_id"]: row["local_date"] for row in rows}

    def reasons(self, source: str) -> Counter[str]:
        """Reason codes of what the last import rejected; each must be of the closed list."""
        rows = self.database.fetch_all(
            "SELECT reason FROM rejected_records WHERE job_id = %(job)s", {"job": self.job(source)["id"]}
        )
        return Counter(RejectReason(row["reason"]).value for row in rows)


def truth_of(counts: Counts | Mapping[str, Any]) -> Truth:
    """Counts in the words of the fakes."""
    if isinstance(counts, Counts):
        return Truth(created=counts.created, updated=counts.updated, skipped=counts.skipped, errors=counts.errors)
    return Truth(**{name: counts[f"nb_{name}"] for name in ("created", "updated", "skipped", "errors")})


def total(truths: Iterable[Truth]) -> Truth:
    """The sum of several."""
    return truth_of(
        sum(
            (Counts(created=t.created, updated=t.updated, skipped=t.skipped, errors=t.errors) for t in truths), Counts()
        )
    )


def assert_counted(pipeline: Pipeline, source: str, expected: Truth, days: Mapping[str, date | None]) -> None:
    """The ledger says `expected`, the tables hold exactly `days`, and the weeks add up to both."""
    job = pipeline.job(source)
    assert (job["status"], job["error_text"]) == ("SUCCESS", None)
    assert truth_of(job) == expected
    assert job["nb_fetched"] == expected.created + expected.updated + expected.skipped + expected.errors
    assert pipeline.days(source) == days
    assert sum(pipeline.reasons(source).values()) == expected.errors
    weeks = pipeline.database.fetch_all(
        "SELECT week, nb_created + nb_updated + nb_skipped AS good, nb_errors AS errors FROM import_job_partitions"
        " WHERE job_id = %(job)s",
        {"job": job["id"]},
    )
    # What has no date is counted by the first week of the run.
    by_week = Counter(FIRST if day is None else week_of(day) for day in days.values())
    assert {row["week"]: row["good"] for row in weeks if row["good"]} == by_week
    assert sum(row["errors"] for row in weeks) == expected.errors
    assert_books_balance(pipeline.database)
