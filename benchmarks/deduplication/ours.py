"""Ours and the exact key, each in a process of its own: records in, the cluster of each out."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks._measure import measured
from benchmarks.deduplication.fields import corpus
from benchmarks.deduplication.generate import Labelled


def ours(rows: list[Labelled]) -> list[int]:
    """The pipeline as shipped, with its statistics taken from the records, as `ingest dedup` does."""
    from ingestion_assets.events.deduplication.resolve import Config, resolve
    from ingestion_assets.events.deduplication.statistics import build_statistics

    records = [row.record for row in rows]
    resolution = resolve(records, statistics=build_statistics(records), config=Config(reasons=False))
    return [resolution.links[record.key].cluster for record in records]


def exact_key(rows: list[Labelled]) -> list[int]:
    """Normalised title, local date and normalised venue, and nothing else."""
    from ingestion_assets.events.deduplication.text import words

    labels: dict[tuple[str, ...], int] = {}
    return [
        labels.setdefault(
            (
                " ".join(words(row.record.title)),
                str(row.record.local_date),
                " ".join(words(row.record.venue_name or "")) or row.record.source_id,
            ),
            len(labels),
        )
        for row in rows
    ]


def main(task: dict[str, Any]) -> None:
    import numpy as np  # noqa: F401  imports are start-up, here as with the peers
    import rapidfuzz  # noqa: F401

    rows = corpus(task["corpus"], task["rows"])
    with measured() as cost:
        labels = {"ours": ours, "exact key": exact_key}[task["method"]](rows)
    cost.report(
        labels=[[row.record.source, row.record.source_id, label] for row, label in zip(rows, labels, strict=True)]
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
