"""Run the pipeline on labelled records and compare with the truth."""

from __future__ import annotations

from collections import defaultdict
from datetime import date

from benchmarks.deduplication.generate import Labelled
from benchmarks.deduplication.metrics import Quality, quality
from ingestion_assets.events.deduplication.resolve import Config, resolve
from ingestion_assets.events.deduplication.statistics import build_statistics
from ingestion_assets.events.deduplication.weights import Model


def measure(rows: list[Labelled], config: Config | None = None, model: Model | None = None) -> Quality:
    """Quality of the pipeline as shipped, with statistics taken from the records themselves."""
    statistics = build_statistics(row.record for row in rows)
    resolution = resolve(
        (row.record for row in rows), statistics=statistics, model=model, config=config or Config(reasons=False)
    )
    label = {key: link.cluster for key, link in resolution.links.items()}
    return quality(rows, [label[row.record.key] for row in rows], event_days(rows))


def event_days(rows: list[Labelled]) -> dict[str, date]:
    """The day of each event: the most common local date of its records that are not in the small hours."""
    votes: dict[str, dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        late = row.record.local_time is not None and row.record.local_time.hour < 8
        votes[row.event][row.record.local_date] += 1 if late else 10
    return {
        event: max(days.items(), key=lambda item: (item[1], -item[0].toordinal()))[0] for event, days in votes.items()
    }
