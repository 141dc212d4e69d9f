"""Corpus statistics of the platform: learned from what is stored, kept by version, used when a person adopts them.

How common words are, which venue names mean one place and which sources shift their clocks decides about every week.
So nothing is learned on the side: `learn` makes a snapshot, `adopt` says from which one weeks are resolved, and the
fingerprint of every week holds its version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from resources.errors import PermanentError

if TYPE_CHECKING:
    from psycopg import Connection

    from ingestion_assets.events.deduplication.statistics import CorpusStatistics

SHIPPED = "shipped"
"""What `adopt` is given to go back to the snapshot of the package."""
ENOUGH = 250_000
"""Records that a snapshot is learned from; of more, whole days at equal distances are taken."""
FEWEST = 1_000
"""Dated records below which the shipped snapshot knows more than what could be learned."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One kept snapshot."""

    version: str
    records: int
    learned_at: datetime
    adopted_at: datetime | None
    adopted_by: str | None


def learn(connection: Connection[Any]) -> tuple[CorpusStatistics, int]:
    """A snapshot of the stored records, and how many it was made from. PermanentError when there are too few."""
    from ingestion_assets.events.deduplication.records import record_from_event
    from ingestion_assets.events.deduplication.statistics import StatisticsBuilder
    from ingestion_assets.events.serialising import event_from_dict

    days = _days(connection)
    builder, count = StatisticsBuilder(), 0
    with connection.cursor(name="learn") as cursor:
        cursor.itersize = 2_000
        cursor.execute(
            "SELECT source, event FROM raw_events WHERE local_date = ANY(%s) AND withdrawn_at IS NULL"
            " ORDER BY local_date, source, source_id",
            (days,),
        )
        for source, event in cursor:
            builder.add(record_from_event(source, event_from_dict(event)))
            count += 1
    if count < FEWEST:
        raise PermanentError(
            f"{count} dated records are stored; a snapshot is learned from {FEWEST} and more. Until then the shipped one"
            " knows more."
        )
    return builder.build(), count


def _days(connection: Connection[Any]) -> list[date]:
    found = connection.execute(
        "SELECT local_date, count(*) FROM raw_events WHERE local_date IS NOT NULL AND withdrawn_at IS NULL"
        " GROUP BY local_date ORDER BY local_date"
    ).fetchall()
    step = max(1, -(-sum(count for _, count in found) // ENOUGH))
    return [day for day, _ in found][::step]


def keep(connection: Connection[Any], statistics: CorpusStatistics, *, records: int) -> bool:
    """Keep a snapshot under its version. False when it was kept already."""
    return bool(
        connection.execute(
            "INSERT INTO corpus_statistics (version, snapshot, records) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (statistics.version, statistics.to_json(), records),
        ).rowcount
    )


def adopt(connection: Connection[Any], version: str, *, who: str) -> list[date]:
    """Resolve weeks from this snapshot from now on; the weeks that were resolved from another one.

    PermanentError when no such version is kept.
    """
    from ingestion_assets.events.deduplication_store import dirty_weeks, versions

    # One after the other: two people who adopt at once would both find nothing adopted.
    connection.execute("LOCK TABLE corpus_statistics IN SHARE ROW EXCLUSIVE MODE")
    kept = [snapshot.version for snapshot in snapshots(connection)]
    if version not in (SHIPPED, *kept):
        raise PermanentError(f"no snapshot has the version {version!r}; there are: {', '.join([SHIPPED, *kept])}")
    connection.execute("UPDATE corpus_statistics SET adopted_at = NULL, adopted_by = NULL WHERE adopted_at IS NOT NULL")
    connection.execute(
        "UPDATE corpus_statistics SET adopted_at = now(), adopted_by = %s WHERE version = %s", (who, version)
    )
    return dirty_weeks(connection, versions=versions(adopted(connection)))


def differences(old: CorpusStatistics, new: CorpusStatistics) -> dict[str, dict[str, Any]]:
    """What a person looks at before adopting: by kind of knowledge, how much is added, gone and changed, with examples."""
    kinds: dict[str, tuple[Mapping[Any, Any], Mapping[Any, Any]]] = {
        "words": (old.word_counts, new.word_counts),
        "word_languages": (old.word_languages, new.word_languages),
        "venue_aliases": (old.aliases, new.aliases),
        "translations": (dict.fromkeys(old.translations), dict.fromkeys(new.translations)),
        "sources_with_midnight_for_no_time": (dict.fromkeys(old.midnight_sources), dict.fromkeys(new.midnight_sources)),
        "sources_with_shifted_clocks": (dict.fromkeys(old.shifting_sources), dict.fromkeys(new.shifting_sources)),
    }
    result = {}
    for kind, (before, after) in kinds.items():
        added = sorted(after.keys() - before.keys(), key=str)
        result[kind] = {
            "added": len(added),
            "gone": len(before.keys() - after.keys()),
            "changed": sum(before[key] != after[key] for key in before.keys() & after.keys()),
            "examples": [_shown(key, after[key]) for key in added[:: max(1, len(added) // 3)][:3]],
        }
    return result


def _shown(key: Any, value: Any) -> str:
    name = " = ".join(key) if isinstance(key, tuple) else str(key)
    return f"{name} = {value}" if isinstance(value, str) and "/" in name else name


def snapshots(connection: Connection[Any]) -> list[Snapshot]:
    """The kept snapshots, the newest first."""
    rows = connection.execute(
        "SELECT version, records, learned_at, adopted_at, adopted_by FROM corpus_statistics"
        " ORDER BY learned_at DESC, version"
    )
    return [Snapshot(*row) for row in rows]


def adopted(connection: Connection[Any]) -> CorpusStatistics:
    """The snapshot that weeks are resolved from: the adopted one, else the shipped one."""
    from ingestion_assets.events.deduplication.statistics import default_statistics

    row = connection.execute("SELECT snapshot FROM corpus_statistics WHERE adopted_at IS NOT NULL").fetchone()
    return default_statistics() if row is None else _parsed(row[0])


@lru_cache(maxsize=2)
def _parsed(snapshot: str) -> CorpusStatistics:
    """A run reads the same snapshot for each of its weeks."""
    from ingestion_assets.events.deduplication.statistics import CorpusStatistics

    return CorpusStatistics.from_json(snapshot)
