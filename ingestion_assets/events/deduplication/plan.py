"""What is to be resolved: records by logical day, and what people decided about them.

Belongs here: reading overrides, and moving the records of a forced merge to one day. Nothing is compared yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from ingestion_assets.events.deduplication.days import logical_day
from ingestion_assets.events.deduplication.links import components
from ingestion_assets.events.deduplication.records import Key, Override, Record, Verdict
from ingestion_assets.events.deduplication.statistics import CorpusStatistics


@dataclass(slots=True)
class Plan:
    """Records by logical day, and what people decided about them."""

    days: dict[int, list[Record]]
    moved: dict[Key, int]
    merges: list[tuple[Key, Key]]
    splits: set[tuple[Key, Key]]
    unmet: list[Override]

    @classmethod
    def of(cls, records: Iterable[Record], overrides: Sequence[Override], statistics: CorpusStatistics) -> Plan:
        day_of: dict[Key, int] = {}
        days: dict[int, list[Record]] = defaultdict(list)
        everyone: dict[Key, Record] = {}
        named = {key for override in overrides for key in (override.a, override.b)}
        for record in records:
            day, _, _ = logical_day(record, no_time_at_midnight=record.source in statistics.midnight_sources)
            if record.key in day_of:
                raise ValueError(f"two records are called {record.source}:{record.source_id}; keep the newer one")
            day_of[record.key] = day
            if record.key in named:
                everyone[record.key] = record
            days[day].append(record)
        merges, splits, unmet = _decisions(overrides, set(everyone))
        moved = _move(merges, day_of)
        for key, day in moved.items():
            days[day_of[key]].remove(everyone[key])
            days[day].append(everyone[key])
        return cls(dict(days), moved, merges, splits, unmet)

    def keep(self, start: date, end: date) -> None:
        """Drop the logical days without any record of the local dates `[start, end)`."""
        self.days = {
            day: records
            for day, records in self.days.items()
            if any(start <= record.local_date < end for record in records)
        }


def plan_days(records: Iterable[Record], overrides: Sequence[Override], statistics: CorpusStatistics) -> Plan:
    """Sort records into logical days and read the overrides. ValueError when two records have one key."""
    return Plan.of(records, overrides, statistics)


def _decisions(
    overrides: Sequence[Override], present: set[Key]
) -> tuple[list[tuple[Key, Key]], set[tuple[Key, Key]], list[Override]]:
    """Merges and splits between records that are here. A merge that would join two split records is not met.

    Overrides apply in the order of their time (then of their keys), so the result does not depend on how they are listed.
    """
    here = [
        override
        for override in overrides
        if override.a in present and override.b in present and override.a != override.b
    ]
    splits = {pair_of(override.a, override.b) for override in here if override.verdict is Verdict.SPLIT}
    groups: dict[Key, set[Key]] = {}
    merges, unmet = [], []
    ordered = sorted(
        (override for override in here if override.verdict is Verdict.MERGE),
        key=lambda override: (override.when.timestamp() if override.when else 0.0, pair_of(override.a, override.b)),
    )
    for override in ordered:
        left = groups.get(override.a, {override.a})
        right = groups.get(override.b, {override.b})
        if any(pair_of(one, two) in splits for one in left for two in right):
            unmet.append(override)
            continue
        united = left | right
        for key in united:
            groups[key] = united
        merges.append(pair_of(override.a, override.b))
    return merges, splits, unmet


def pair_of(one: Key, two: Key) -> tuple[Key, Key]:
    return (one, two) if one <= two else (two, one)


def _move(merges: Sequence[tuple[Key, Key]], day_of: Mapping[Key, int]) -> dict[Key, int]:
    """Records of a forced group that must come to its earliest logical day."""
    keys = sorted({key for pair in merges for key in pair})
    index = {key: i for i, key in enumerate(keys)}
    label = components(len(keys), [index[a] for a, _ in merges], [index[b] for _, b in merges])
    earliest: dict[int, int] = {}
    for key, root in zip(keys, label, strict=True):
        earliest[root] = min(earliest.get(root, day_of[key]), day_of[key])
    return {key: earliest[root] for key, root in zip(keys, label, strict=True) if earliest[root] != day_of[key]}
