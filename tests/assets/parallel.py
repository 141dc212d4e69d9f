"""Weeks of made-up records that several resolutions work on at once, and what must hold of them afterwards."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from datetime import time as clock
from typing import Any

import pytest

from ingestion_assets.events import deduplicated_events as asset
from ingestion_assets.events.checks import _EVENT_RULES, evaluate
from ingestion_assets.events.deduplication.records import Record, record_from_event
from ingestion_assets.events.deduplication.resolve import resolve
from ingestion_assets.events.loading import load_pages
from ingestion_assets.events.model import Event, Moment, Page, Venue
from ingestion_assets.events.serialising import event_from_dict
from ingestion_assets.ledger.import_jobs import ImportJob
from resources.postgres.database import Database

FIRST = date(2026, 11, 2)
WEEKS = 6
ZONE = "America/Toronto"
SOURCES = ("city", "agenda", "shifted")
_NAMES = ("Abricot", "Brume", "Cigale", "Dahlia", "Écluse", "Fanal", "Girofle", "Hibou", "Iris", "Jonquille")
_PLACES = ("Club Soda", "Théâtre Outremont", "Salle Bourgie", "Le Ministère")


@dataclass(frozen=True)
class Listing:
    """A record of a source: an evening, which the last source stores five hours late, past midnight."""

    source: str
    number: int
    title: str
    day: date | None
    place: str

    def event(self) -> Event:
        start = None
        if self.day is not None:
            late = self.source == "shifted"
            start = Moment(self.day + timedelta(days=late), clock(1) if late else clock(20), ZONE)
        said = {"title": self.title, "day": str(self.day)}
        venue = Venue(name=self.place, city="Montréal")
        return Event(source_id=str(self.number), title=self.title, payload=said, start=start, venue=venue)


@dataclass
class Calendar:
    """Records that change from import to import."""

    chance: random.Random
    weeks: list[date] = field(default_factory=lambda: [FIRST + timedelta(weeks=n) for n in range(WEEKS)])
    listings: dict[tuple[str, int], Listing] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def day(self) -> date:
        """Often a Sunday or a Monday: what lies there concerns two weeks."""
        offset = self.chance.choice((0, 0, 2, 4, 6, 6, 6))
        return self.chance.choice(self.weeks[:-1]) + timedelta(days=offset)

    def add(self, count: int) -> None:
        """New events, each listed by one to three sources."""
        for _ in range(count):
            number, day = next(self._numbers), self.day()
            title = " ".join((*self.chance.sample(_NAMES, 2), f"Opus{number}"))
            for source in self.chance.sample(SOURCES, self.chance.choice((1, 2, 3, 3))):
                self.listings[source, number] = Listing(source, number, title, day, self.chance.choice(_PLACES[:1]))

    def change(self, count: int) -> None:
        """Single records go to other weeks, other titles, or lose their day; whole events move."""
        for key in self.chance.sample(sorted(self.listings), min(count, len(self.listings))):
            one = self.listings[key]
            what = self.chance.random()
            if what < 0.4:
                day = self.day()
                for other in [other for other in self.listings if other[1] == key[1]]:
                    self.listings[other] = replace(self.listings[other], day=day)
            elif what < 0.6:
                self.listings[key] = replace(one, day=self.day())
            elif what < 0.7:
                self.listings[key] = replace(one, day=None)
            elif what < 0.85:
                self.listings[key] = replace(one, title=f"{self.chance.choice(_NAMES)} Opus{next(self._numbers)}")
            else:  # two events become one
                like = self.listings[self.chance.choice(sorted(self.listings))]
                self.listings[key] = replace(one, title=like.title, day=like.day)

    def ranges(self) -> list[list[date]]:
        """The weeks, cut into two to five pieces, in any order."""
        cuts = sorted(self.chance.sample(range(1, WEEKS), self.chance.randint(1, 4)))
        pieces = [self.weeks[begin:end] for begin, end in itertools.pairwise([0, *cuts, WEEKS])]
        self.chance.shuffle(pieces)
        return pieces


@dataclass
class Town:
    """The database, and runs on it."""

    database: Database
    runs: itertools.count[int] = field(default_factory=itertools.count)

    def store(self, calendar: Calendar) -> None:
        """Import what each source lists."""
        by_source = defaultdict(list)
        for listing in list(calendar.listings.values()):
            by_source[listing.source].append(listing.event())
        for source, events in sorted(by_source.items()):
            job = ImportJob(
                self.database,
                source=source,
                run_id=f"import-{next(self.runs)}",
                partition_start=FIRST,
                partition_end=calendar.weeks[-1],
            )
            with job:
                load_pages(
                    [Page(records=tuple(events))],
                    job,
                    volatile_paths=(),
                    record_version=1,
                    weeks=(FIRST, calendar.weeks[-1]),
                    today=FIRST,
                    accept_withdrawals=True,
                )

    def resolve(self, weeks: Sequence[date], *, run_id: str | None = None, **options: Any) -> None:
        """One run, as the asset does it."""
        job = ImportJob(
            self.database,
            source=asset.NAME,
            run_id=run_id or f"{next(self.runs):04}-run",
            partition_start=weeks[0],
            partition_end=weeks[-1],
            **options,
        )
        with job:
            for _ in asset.resolve_weeks(job, weeks):
                pass
            job.commit(job.succeed)

    def at_once(self, works: Iterable[Callable[[], None]]) -> None:
        """Each in a thread of its own; the first error is raised."""
        errors: list[BaseException] = []

        def run(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

        threads = [threading.Thread(target=run, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        if errors:
            raise errors[0]

    def clusters(self) -> set[frozenset[tuple[str, str]]]:
        """The dated records of each event."""
        found = defaultdict(set)
        for row in self.database.fetch_all(
            "SELECT l.event_id, l.source, l.source_id FROM event_links l JOIN raw_events r USING (source, source_id)"
            " WHERE r.local_date IS NOT NULL"
        ):
            found[row["event_id"]].add((row["source"], row["source_id"]))
        return {frozenset(members) for members in found.values()}

    def ids(self) -> dict[tuple[str, str], str]:
        rows = self.database.fetch_all("SELECT source, source_id, event_id FROM event_links")
        return {(row["source"], row["source_id"]): row["event_id"] for row in rows}

    def expected(self) -> set[frozenset[tuple[str, str]]]:
        """The clusters that one resolution of everything gives, without tables, weeks or runs."""
        return {frozenset(map(tuple, cluster.members)) for cluster in resolve(self._records()).clusters}

    def _records(self) -> list[Record]:
        rows = self.database.fetch_all(
            "SELECT source, event, encode(content_hash, 'hex') AS hash, withdrawn_at IS NOT NULL AS gone FROM raw_events"
            " WHERE local_date IS NOT NULL"
        )
        return [
            record_from_event(
                row["source"], event_from_dict(row["event"]), content_hash=row["hash"], withdrawn=row["gone"]
            )
            for row in rows
        ]

    def assert_sound(self) -> None:
        """Clusters are those of a run over everything, ids lead somewhere, and every count is that of the tables."""
        assert self.clusters() == self.expected()
        for rule in _EVENT_RULES:
            if rule.blocking:
                result = evaluate(self.database, rule, {})
                assert result.passed, result.description
        wrong = self.database.fetch_all(
            "SELECT e.event_id, e.week, e.nb_records, count(*) AS n, min(r.week) AS first FROM deduplicated_events e"
            " JOIN event_links l USING (event_id) JOIN raw_events r USING (source, source_id)"
            " WHERE r.local_date IS NOT NULL GROUP BY e.event_id"
            " HAVING e.nb_records <> count(*) OR e.week <> min(r.week) OR e.replaced_by IS NOT NULL"
        )
        assert wrong == []
        jobs = self.database.fetch_all(
            "SELECT j.id, j.status, j.nb_created, j.nb_updated, j.nb_fetched, p.fetched,"
            " (SELECT count(*) FROM deduplicated_events WHERE first_job = j.id) AS made,"
            # An id that leads on, and an event whose records lost their day, are no events of a week any more.
            " (SELECT count(*) FROM deduplicated_events e WHERE last_change_job = j.id AND first_job <> j.id"
            " AND replaced_by IS NULL AND EXISTS (SELECT FROM event_links l JOIN raw_events r USING (source, source_id)"
            " WHERE l.event_id = e.event_id AND r.local_date IS NOT NULL)) AS changed"
            " FROM import_jobs j LEFT JOIN (SELECT job_id, sum(nb_created + nb_updated + nb_skipped + nb_errors) AS"
            " fetched FROM import_job_partitions GROUP BY 1) p ON p.job_id = j.id"
            " WHERE source = 'deduplicated_events' ORDER BY id"
        )
        for job in jobs:
            assert job["status"] != "RUNNING"
            assert job["nb_fetched"] == (job["fetched"] or 0), job
            assert job["nb_created"] == job["made"], job
            assert job["nb_updated"] >= job["changed"], job


@contextmanager
def dawdling(chance: random.Random) -> Any:
    """Resolutions that pause between reading and writing, where another one could come in between."""
    patch, guard = pytest.MonkeyPatch(), threading.Lock()
    for name in ("read_records", "identify", "write_week"):
        original = getattr(asset, name)

        def slowly(*arguments: Any, _original: Any = original, **options: Any) -> Any:
            with guard:
                pause = chance.choice((0, 0, 0.002, 0.006))
            time.sleep(pause)
            return _original(*arguments, **options)

        patch.setattr(asset, name, slowly)
    try:
        yield
    finally:
        patch.undo()
