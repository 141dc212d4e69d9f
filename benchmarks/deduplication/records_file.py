"""Generated records as the files people have: the columns of `ingest dedup`, and the truth in a file beside them."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from benchmarks.deduplication.generate import Labelled

COLUMNS = (
    "source", "source_id", "title", "lang", "start_at", "end_at", "timezone", "venue_name", "address", "city",
    "lat", "lon", "url", "status",
)  # fmt: skip


def write_csv(rows: Iterable[Labelled], path: Path, truth: Path | None = None) -> None:
    """Write records, and with `truth` the event and kind of each."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        answers = []
        for row in rows:
            record = row.record
            start = record.local_date.isoformat()
            if record.local_time:
                start += f"T{record.local_time.isoformat()}"
            end = ""
            if record.end_date or record.end_time:
                end = (record.end_date or record.local_date).isoformat()
                if record.end_time:
                    end += f"T{record.end_time.isoformat()}"
            writer.writerow((
                record.source, record.source_id, record.title, record.lang, start, end, record.zone, record.venue_name,
                record.address, record.city, record.lat, record.lon, record.url, record.status,
            ))  # fmt: skip
            answers.append((record.source, record.source_id, row.event, row.kind, row.series))
    if truth is not None:
        with truth.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("source", "source_id", "event", "kind", "series"), *answers])
